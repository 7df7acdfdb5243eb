//! `pinfold events`.

use std::process::ExitCode;

use management::Event;
use management::client::{Client, GAP, Message, route};
use serde::Deserialize;

use super::output::{harmless, print};
use crate::cli::EventsArgs;
use crate::tree;

/// So many events are asked for at once.
const PAGE: usize = 1_000;

/// Events as the supervisor hands them out.
#[derive(Debug, Deserialize)]
struct Page {
    events: Vec<Event>,
    /// How many are lost before the first, where somebody can say.
    #[serde(default)]
    lost: Option<u64>,
    #[serde(default)]
    more: bool,
    /// From where to go on.
    #[serde(default)]
    last: Option<String>,
}

/// Print what has happened, or go on printing what happens.
///
/// # Errors
/// A refusal, no supervisor, or none any more.
pub fn events(args: &EventsArgs) -> anyhow::Result<ExitCode> {
    let client = super::client(&args.server)?;
    if !args.follow {
        print_kept(&client, args)?;
        return Ok(ExitCode::SUCCESS);
    }
    for message in client.events(args.since.as_deref())? {
        print(&shown(&message?, args.json)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the supervisor still has, a page at a time.
fn print_kept(client: &Client, args: &EventsArgs) -> anyhow::Result<()> {
    let mut since = args.since.clone();
    loop {
        let mut route = format!("/v1/events?limit={PAGE}");
        if let Some(since) = &since {
            route += &format!("&since={}", route::component(since));
        }
        let page: Page = client.get(&route)?.json()?;
        if let Some(lost @ 1..) = page.lost
            && since.is_some()
        {
            eprintln!("pinfold: {lost} events before these are no longer kept");
        }
        let mut lines = String::new();
        for event in &page.events {
            lines += &one(event, args.json)?;
            lines.push('\n');
        }
        print(&lines)?;
        let last = page.events.last().map(|event| event.id.clone());
        let last = page.last.or(last);
        if !page.more || last == since || last.is_none() {
            return Ok(());
        }
        since = last;
    }
}

fn one(event: &Event, json: bool) -> anyhow::Result<String> {
    Ok(match json {
        true => serde_json::to_string(event)?,
        false => harmless(&tree::event(event)),
    })
}

/// A message of the stream as a line.
fn shown(message: &Message, json: bool) -> anyhow::Result<String> {
    match (message.event.as_str(), json) {
        (GAP, true) => Ok(serde_json::to_string(&serde_json::json!({
            "kind": GAP,
            "text": message.data,
        }))?),
        (GAP, false) => Ok(harmless(&format!(
            "       events are lost here {}",
            message.data
        ))),
        _ => one(&message.json()?, json),
    }
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
        assert!(
            told.trim_end()
                .ends_with(r#"events are lost here {"lost":7}"#)
        );
    }

    #[test]
    fn a_page_may_say_no_more_than_its_events() {
        let page: Page = serde_json::from_str(r#"{"events":[]}"#).unwrap();
        assert!(!page.more && page.lost.is_none() && page.last.is_none());
    }
}
