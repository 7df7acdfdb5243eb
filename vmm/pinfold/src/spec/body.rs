//! A machine's body in the API: the table of `[vm.NAME]`, in JSON.
//!
//! There is one road to a machine. The body is written out as the TOML that it stands for, each value
//! on a line of its own, and read as a spec file is; so every rule and every word is the spec's, and
//! the line of a refusal is the place in the body, as a JSON pointer (RFC 6901).

use std::fmt;
use std::path::Path;

use container_core::MachineName;
use serde_json::{Map, Value};
use supervisor::api::Known;
use toml::Spanned;

use super::file::File;
use super::plan::{self, Tree};
use super::source::Source;
use super::{MachineSpec, SpecError, machine};

/// Why a machine's body is refused: `POINTER: the rule with both operands`.
#[derive(Debug, PartialEq, Eq)]
pub struct BodyError {
    /// Where in the body, as a JSON pointer: `/groups/0`; the whole of it where this is empty.
    pub pointer: String,
    /// One sentence.
    pub message: String,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => f.write_str(&self.message),
            pointer => write!(f, "{pointer}: {}", self.message),
        }
    }
}

impl std::error::Error for BodyError {}

/// Give a machine's body its meaning. Its groups are those that there are now; whether they would
/// take its tasks is asked when it is born.
///
/// # Errors
/// [`BodyError`]: the name is none, the body asks for what the spec language does not have, for a
/// group that there is not, or for another living machine's socket.
pub fn machine_from_json(name: &str, body: &Value, now: &Known) -> Result<MachineSpec, BodyError> {
    let whole = |message: String| BodyError {
        pointer: String::new(),
        message,
    };
    let name: MachineName = name
        .parse()
        .map_err(|refusal| whole(format!("{refusal}")))?;
    let Value::Object(table) = body else {
        return Err(whole(
            "a machine is an object, as a [vm.NAME] is a table".into(),
        ));
    };
    let mut written = Written::default();
    written.table("", &format!("vm.{}", quoted(name.as_str())), table)?;
    let machine = understood(&written.text, now).map_err(|error| written.place(error))?;
    let path = |config: &link::MachineConfig| config.vsock.as_ref()?.path.clone();
    let mut others = now
        .machines
        .iter()
        .filter(|other| other.alive && other.asked.name != name);
    if let Some(own) = path(&machine.config)
        && let Some(other) = others.find(|other| path(&other.asked.config).as_ref() == Some(&own))
    {
        return Err(BodyError {
            pointer: "/vsock/path".into(),
            message: format!(
                "machine {name} has the vsock.path {own} of machine {}",
                other.asked.name
            ),
        });
    }
    Ok(machine)
}

fn understood(text: &str, now: &Known) -> Result<MachineSpec, SpecError> {
    let source = Source::new(Path::new("/"), text);
    let file: File = toml::from_str(text).map_err(|error| source.not_a_spec(&error))?;
    let mut machines = plan::in_order(file.vm).into_iter();
    let (name, vm) = machines
        .next()
        .ok_or_else(|| source.refuse_file("there is no machine in it"))?;
    let path = vm.vsock.as_ref().and_then(|vsock| vsock.path.as_ref());
    if let Some(path) = path.filter(|path| !path.get_ref().starts_with('/')) {
        let message = format!(
            "vsock.path {:?} of machine {} does not begin with /, and a body has no folder to \
             which it could be relative",
            path.get_ref(),
            Spanned::get_ref(&name),
        );
        return Err(source.refuse(path.span(), message));
    }
    machine::machine(&source, &Tree::of(&now.framework), &name, &vm)
}

/// A body as TOML, with the place in the body of each line.
#[derive(Default)]
struct Written {
    text: String,
    pointers: Vec<String>,
}

impl Written {
    fn line(&mut self, pointer: &str, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        self.pointers.push(pointer.to_owned());
    }

    /// Values first: in TOML what follows a table's header is that table's.
    fn table(
        &mut self,
        pointer: &str,
        header: &str,
        table: &Map<String, Value>,
    ) -> Result<(), BodyError> {
        self.line(pointer, &format!("[{header}]"));
        for (key, value) in table {
            let (at, key) = (below(pointer, key), quoted(key));
            match value {
                Value::Object(_) => {}
                Value::Array(list) => {
                    self.line(&at, &format!("{key} = ["));
                    for (index, item) in list.iter().enumerate() {
                        let at = format!("{at}/{index}");
                        let item = inline(&at, item)?;
                        self.line(&at, &format!("{item},"));
                    }
                    self.line(&at, "]");
                }
                value => {
                    let value = inline(&at, value)?;
                    self.line(&at, &format!("{key} = {value}"));
                }
            }
        }
        for (key, value) in table {
            if let Value::Object(inner) = value {
                let header = format!("{header}.{}", quoted(key));
                self.table(&below(pointer, key), &header, inner)?;
            }
        }
        Ok(())
    }

    fn place(&self, error: SpecError) -> BodyError {
        let pointer = error.line.and_then(|line| self.pointers.get(line - 1));
        BodyError {
            pointer: pointer.cloned().unwrap_or_default(),
            message: error.message,
        }
    }
}

/// A value on one line.
fn inline(pointer: &str, value: &Value) -> Result<String, BodyError> {
    Ok(match value {
        Value::Null => {
            return Err(BodyError {
                pointer: pointer.to_owned(),
                message: "null is no value; leave the key out".into(),
            });
        }
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(list) => {
            let items = list.iter().enumerate();
            let items = items.map(|(index, item)| inline(&format!("{pointer}/{index}"), item));
            format!("[{}]", items.collect::<Result<Vec<_>, _>>()?.join(", "))
        }
        Value::Object(table) => {
            let entry = |(key, value): (&String, &Value)| {
                let value = inline(&below(pointer, key), value)?;
                Ok(format!("{} = {value}", quoted(key)))
            };
            let entries: Result<Vec<_>, BodyError> = table.iter().map(entry).collect();
            format!("{{ {} }}", entries?.join(", "))
        }
    })
}

/// A string of TOML: JSON's escapes are TOML's, which also asks for one of DEL.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}
