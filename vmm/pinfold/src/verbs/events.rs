//! `pinfold events`.

use std::process::ExitCode;

use management::Event;
use management::api::{EventPage, Gap};
use management::client::{Client, ClientError, GAP, Message, route};

use super::output::{harmless, print};
use crate::cli::EventsArgs;
use crate::tree;

/// So many events are asked for at once.
const PAGE: usize = 1_000;

/// Print what has happened, or go on printing what happens.
///
/// # Errors
/// A refusal, no supervisor, or none any more.
pub fn events(args: &EventsArgs) -> anyhow::Result<ExitCode> {
    let client = super::client(&args.server)?;
    let since = args.since.as_deref();
    let since = since
        .map(|since| whole_number(&client, since))
        .transpose()?;
    if !args.follow {
        print_kept(&client, since, args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    for message in client.events(since.as_deref())? {
        print(&shown(&message?, args.json)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `EPOCH.58` of `#58`, 58 or itself: without an epoch, that of the supervisor that is asked.
fn whole_number(client: &Client, since: &str) -> Result<String, ClientError> {
    if since.contains('.') {
        return Ok(since.to_owned());
    }
    let page: EventPage = client.get("/v1/events?limit=1")?.json()?;
    let (epoch, _) = page.last.split_once('.').unwrap_or((&page.last, ""));
    Ok(format!("{epoch}.{}", since.trim_start_matches('#')))
}

/// What the supervisor still has, a page at a time.
fn print_kept(client: &Client, mut since: Option<String>, json: bool) -> anyhow::Result<()> {
    loop {
        let mut route = format!("/v1/events?limit={PAGE}");
        if let Some(since) = &since {
            route += &format!("&since={}", route::component(since));
        }
        let page: EventPage = client.get(&route)?.json()?;
        let mut lines = String::new();
        if let Some(gap) = page.gap {
            lines += &hole(gap, json)?;
            lines.push('\n');
        }
        for event in &page.events {
            lines += &one(event, json)?;
            lines.push('\n');
        }
        print(&lines)?;
        if !page.more || since.as_ref() == Some(&page.last) {
            return Ok(());
        }
        since = Some(page.last);
    }
}

fn one(event: &Event, json: bool) -> anyhow::Result<String> {
    Ok(match json {
        true => serde_json::to_string(event)?,
        false => harmless(&tree::event(event)),
    })
}

/// What stands where events are lost.
fn hole(gap: Gap, json: bool) -> anyhow::Result<String> {
    let text = match gap.lost {
        Some(1) => "1 event is no longer kept".to_owned(),
        Some(lost) => format!("{lost} events are no longer kept"),
        None => "nobody knows how many events are lost here".to_owned(),
    };
    Ok(match json {
        true => serde_json::to_string(&Event {
            kind: GAP.to_owned(),
            text,
            ..Event::default()
        })?,
        false => format!("       {text}"),
    })
}

/// A message of the stream as a line.
fn shown(message: &Message, json: bool) -> anyhow::Result<String> {
    if message.event == GAP {
        // The client's own says nothing, since nobody knows.
        return hole(message.json().unwrap_or_default(), json);
    }
    one(&message.json()?, json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_the_line_that_a_run_shows() {
        let message = Message {
            id: "9.58".into(),
            event: "released".into(),
            data: r#"{"id":"9.58","monotonic_ns":5,"kind":"released","group":"p:/hot","text":"p:/hot released"}"#
                .into(),
        };
        assert_eq!(shown(&message, false).unwrap(), "  #58  p:/hot released");
        assert_eq!(shown(&message, true).unwrap(), message.data);
        let gap = Message {
            event: GAP.into(),
            data: r#"{"lost":7}"#.into(),
            ..Message::default()
        };
        let told = shown(&gap, false).unwrap();
        assert_eq!(told, "       7 events are no longer kept");
        let told = shown(&gap, true).unwrap();
        assert!(told.contains(r#""kind":"gap","text":"7 events"#), "{told}");
        let unknown = Message::default();
        let unknown = Message {
            event: GAP.into(),
            ..unknown
        };
        assert!(shown(&unknown, false).unwrap().contains("nobody knows"));
    }
}
