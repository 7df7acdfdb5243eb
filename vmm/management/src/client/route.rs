//! Routes of the API, with names from outside made safe for them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// One component of a route, or a value in its query.
pub fn component(name: &str) -> String {
    utf8_percent_encode(name, ENCODED).to_string()
}

/// `/v1/machines/web`
pub fn machine(name: &str) -> String {
    format!("/v1/machines/{}", component(name))
}

/// `/v1/groups/placement/gold/web` of `placement:/gold/web`.
pub fn group(group: &str) -> String {
    format!("/v1/groups/{}", place(group))
}

/// `/v1/files/placement/gold/cpuset.cpus` of `placement:/gold` and `cpuset.cpus`.
pub fn file(group: &str, file: &str) -> String {
    format!("/v1/files/{}/{}", place(group), component(file))
}

/// `/v1/tasks/web%2Fvcpu0` of `web/vcpu0`; a thread id stands for itself.
pub fn task(task: &str) -> String {
    format!("/v1/tasks/{}", component(task))
}

/// `placement/gold/web`. A group that is none makes a route to nowhere, and the supervisor says so.
fn place(group: &str) -> String {
    let (hierarchy, path) = group.split_once(':').unwrap_or((group, ""));
    let mut place = component(hierarchy);
    for name in path.split('/').filter(|name| !name.is_empty()) {
        place.push('/');
        place.push_str(&component(name));
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_component() {
        assert_eq!(group("placement:/"), "/v1/groups/placement");
        assert_eq!(
            group("placement:/gold/a b?c%"),
            "/v1/groups/placement/gold/a%20b%3Fc%25"
        );
        assert_eq!(file("b:/", "cpuacct.usage"), "/v1/files/b/cpuacct.usage");
        assert_eq!(task("web/vcpu0"), "/v1/tasks/web%2Fvcpu0");
        assert_eq!(task("4711"), "/v1/tasks/4711");
        assert_eq!(
            machine("../x\r\nHost: y"),
            "/v1/machines/..%2Fx%0D%0AHost%3A%20y"
        );
        assert_eq!(group("placement:/für"), "/v1/groups/placement/f%C3%BCr");
    }
}
