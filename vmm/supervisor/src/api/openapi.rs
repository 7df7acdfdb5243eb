//! The API's description of itself, made of its types and handlers.

#![allow(
    unused_qualifications,
    reason = "what utoipa's macro writes is qualified"
)]

use std::collections::BTreeMap;

use management::api::Problem;
use management::names::{EventNumber, FilePath, GroupComponents, LastEventId, MachineName};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::{ContentBuilder, HeaderBuilder, Ref, RefOr, Schema};
use utoipa::{IntoResponses, Modify, OpenApi, PartialSchema};

use super::problem::{PROBLEM_JSON, Refused};
use super::routes::{apply, events, groups, lifecycle, machines, plan, show, tasks};

/// The document of `/openapi.json`.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Pinfold",
        description = "The management API of a Pinfold supervisor, over its unix socket. Groups are \
`HIERARCHY:/path`, tasks `MACHINE/vcpu0` or a thread id. A path of several components, as of a group, stands in a \
URL with its slashes, or with them encoded.",
        license(name = "Apache-2.0 OR MIT")
    ),
    paths(
        plan::plan,
        apply::apply,
        machines::list,
        machines::one,
        machines::log,
        machines::agent,
        lifecycle::create,
        lifecycle::remove,
        lifecycle::state,
        groups::hierarchies,
        groups::hierarchy,
        groups::root,
        groups::group,
        groups::read,
        groups::write,
        tasks::list,
        tasks::one,
        tasks::attach,
        events::events,
        show::proc_groups,
        show::proc_task,
        show::report,
        show::version,
        show::metrics,
        show::openapi,
    ),
    components(schemas(
        Problem,
        MachineName,
        GroupComponents,
        FilePath,
        EventNumber,
        LastEventId
    )),
    modifiers(&Strict)
)]
pub struct Document;

/// Says of commands too that unknown fields are refused: the derive says it of structs only.
struct Strict;

impl Modify for Strict {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let schemas = document.components.as_mut().map(|all| &mut all.schemas);
        let Some(RefOr::T(Schema::OneOf(commands))) =
            schemas.and_then(|schemas| schemas.get_mut("Command"))
        else {
            return;
        };
        for command in &mut commands.items {
            if let RefOr::T(Schema::Object(command)) = command {
                let no_others = AdditionalProperties::FreeForm(false);
                command.additional_properties = Some(Box::new(no_others));
            }
        }
    }
}

/// Every refusal there can be; which of them, each route's rules say.
const REFUSALS: [(&str, &str); 11] = [
    (
        "400",
        "The request is not well-formed: path, query, JSON, text",
    ),
    ("403", "EPERM, EACCES: the asker may not"),
    ("404", "ENOENT, ESRCH: there is no such thing"),
    ("405", "EOPNOTSUPP: another method is"),
    ("408", "ETIMEDOUT: the body did not come"),
    (
        "409",
        "EEXIST, EBUSY, ESTALE, ENOSPC, ENOMEM, EIO and others: not as things are. EIO is the host's refusal",
    ),
    ("410", "ENODEV: it was removed meanwhile"),
    ("413", "E2BIG: too much"),
    ("415", "Another content type"),
    (
        "422",
        "EINVAL, ERANGE and others: well-formed, and against a rule; an unknown field",
    ),
    (
        "503",
        "EAGAIN, ESHUTDOWN: too much to do, see Retry-After; or the supervisor is ending",
    ),
];

/// Headers of refusals, by their status.
const HEADERS: [(&str, &str, &str); 2] = [
    ("405", "Allow", "The methods that are"),
    ("503", "Retry-After", "Seconds"),
];

impl IntoResponses for Refused {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let problem = || {
            let schema = Ref::from_schema_name("Problem");
            ContentBuilder::new().schema(Some(schema)).build()
        };
        let response = |status: &str, what: &str| {
            let response = ResponseBuilder::new()
                .description(what)
                .content(PROBLEM_JSON, problem());
            let response = match HEADERS.iter().find(|(of, ..)| *of == status) {
                Some((_, name, what)) => {
                    let header = HeaderBuilder::new().schema(String::schema());
                    response.header(*name, header.description(Some(*what)).build())
                }
                None => response,
            };
            response.build().into()
        };
        REFUSALS
            .iter()
            .map(|(status, what)| ((*status).to_owned(), response(status, what)))
            .collect()
    }
}
