//! The guest's script language: what each vCPU does, line by line.
//!
//! Every vCPU goes through all lines in order and skips those that are for another one.
//!
//! ```text
//! [vcpuN:] burn DURATION      compute
//! [vcpuN:] sleep DURATION     halt, woken by a timer
//! [vcpuN:] print TEXT         write "vcpuN: TEXT" to the serial port
//! [vcpuN:] exit [CODE]        end this vCPU, with code 0 unless said otherwise
//!          barrier            wait for all vCPUs that have not ended
//! [vcpuN:] forever            compute without end
//! [vcpuN:] halt               halt without end
//! [vcpuN:] fault              touch memory that is not mapped
//! [vcpuN:] reset              pulse the reset line
//! [vcpuN:] touch SIZE         write to each page of so much memory, from 4 MiB on
//! ```
//!
//! Verbs that make the guest an agent of the supervisor, or use its vsock device in other ways, stand in
//! a table of their own: [`vsock`].
//!
//! SIZE is a whole number and a unit, `64K` or `8M`, and DURATION is a whole number and a unit: `50us`, `200ms`, `2s`. A vCPU at the end of its script
//! exits with code 0.

pub mod vsock;

use crate::step::{Step, Target};
use crate::{MAX_SCRIPT_BYTES, MAX_TEXT_BYTES, MAX_VCPUS, MIN_MEMORY_BYTES, layout};

/// What can be touched at most: all that is mapped above what every guest has.
const MAX_TOUCH_BYTES: u64 = layout::MAPPED_END - MIN_MEMORY_BYTES;
const _: () = assert!(MAX_TOUCH_BYTES == 1020 << 20, "the message says so");

/// Longest duration: a week. (The guest's arithmetic holds three, at 10 GHz.)
const MAX_MICROSECONDS: u64 = 7 * 24 * 3600 * 1_000_000;

/// All of them, for messages.
const VERBS: &str = "burn, sleep, print, exit, barrier, forever, halt, fault, reset, touch, tree, roots, get, \
     set, mkdir, rmdir, attach, ping, exits, subscribe, unsubscribe, wait, collect, stamp, reconnect, \
     disconnect, serve, send, receive, accept, rtt, flood, garbage, huge, half-open, unprivileged or \
     badqueue";

/// A script that the guest can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    bytes: Vec<u8>,
    max_vcpu: Option<u16>,
    memory_bytes: u64,
}

/// Why a list of lines is no script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("script line {line}: {problem}")]
pub struct ScriptError {
    /// Number of the line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is nothing on it.
    #[error("expected a verb ({VERBS})")]
    Empty,
    /// The verb is none.
    #[error("unknown verb {0:?}: expected {VERBS}")]
    UnknownVerb(String),
    /// The prefix names no vCPU.
    #[error("{0:?} names no vCPU: expected vcpu0 to vcpu{last}", last = MAX_VCPUS - 1)]
    NoSuchVcpu(String),
    /// What follows the verb is no operand for it.
    #[error("{verb}: expected {expected}, found {found:?}")]
    Operand {
        /// The verb.
        verb: String,
        /// What can follow it.
        expected: &'static str,
        /// What does.
        found: String,
    },
    /// A barrier for one vCPU.
    #[error("barrier: is for every vCPU, so it takes no vcpuN: before it")]
    BarrierForOne,
    /// The text does not fit.
    #[error("print: {0} bytes of text, at most {MAX_TEXT_BYTES} are allowed")]
    TextTooLong(usize),
    /// The script does not fit.
    #[error("the script is longer than {MAX_SCRIPT_BYTES} bytes when encoded")]
    ScriptTooLong,
}

impl Script {
    /// Reads a script, one step a line.
    ///
    /// # Errors
    ///
    /// [`ScriptError`] for the first line that is wrong.
    pub fn parse(lines: &[impl AsRef<str>]) -> Result<Self, ScriptError> {
        let mut script = Self {
            bytes: Vec::new(),
            max_vcpu: None,
            memory_bytes: MIN_MEMORY_BYTES,
        };
        for (at, line) in lines.iter().enumerate() {
            script.push(line.as_ref()).map_err(|problem| ScriptError {
                line: at + 1,
                problem,
            })?;
        }
        Ok(script)
    }

    /// The script as the guest reads it: at most [`MAX_SCRIPT_BYTES`] bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// The highest vCPU that a line names, if any does.
    pub fn max_vcpu(&self) -> Option<u16> {
        self.max_vcpu
    }

    /// How much memory the guest has to have for what it touches.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    fn push(&mut self, line: &str) -> Result<(), Problem> {
        let (target, step) = parse_line(line)?;
        if let Step::Touch(bytes) = step {
            self.memory_bytes = self.memory_bytes.max(MIN_MEMORY_BYTES + bytes);
        }
        step.encode(target, |bytes| self.bytes.extend_from_slice(bytes));
        if self.bytes.len() > MAX_SCRIPT_BYTES {
            return Err(Problem::ScriptTooLong);
        }
        self.max_vcpu = self.max_vcpu.max(target.map(u16::from));
        Ok(())
    }
}

fn parse_line(line: &str) -> Result<(Target, Step<'_>), Problem> {
    let (target, rest) = parse_target(line.trim())?;
    let (verb, operand) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let operand = operand.trim();
    let step = match vsock::parse(rest, verb, operand) {
        Some(parsed) => Step::Vsock(parsed.map_err(|expected| Problem::Operand {
            verb: verb.into(),
            expected,
            found: operand.into(),
        })?),
        None => parse_step(verb, operand)?,
    };
    if target.is_some() && step == Step::Barrier {
        return Err(Problem::BarrierForOne);
    }
    Ok((target, step))
}

/// Splits `vcpuN:` off. A first word without a colon at its end is the verb.
fn parse_target(line: &str) -> Result<(Target, &str), Problem> {
    let word_end = line.find(char::is_whitespace).unwrap_or(line.len());
    let Some((name, _)) = line[..word_end].split_once(':') else {
        return Ok((None, line));
    };
    let number = name
        .strip_prefix("vcpu")
        .and_then(parse_number)
        .filter(|number| *number < u64::from(MAX_VCPUS))
        .ok_or_else(|| Problem::NoSuchVcpu(name.into()))?;
    Ok((Some(number as u8), line[name.len() + 1..].trim_start()))
}

fn parse_step<'a>(verb: &str, operand: &'a str) -> Result<Step<'a>, Problem> {
    let wrong = |expected| Problem::Operand {
        verb: verb.into(),
        expected,
        found: operand.into(),
    };
    let alone = |step| {
        if operand.is_empty() {
            Ok(step)
        } else {
            Err(wrong("nothing more on the line"))
        }
    };
    let duration = || {
        parse_duration(operand).ok_or_else(|| {
            wrong("a whole number with unit us, ms or s, such as 200ms, of at most a week")
        })
    };
    match verb {
        "burn" => duration().map(Step::Burn),
        "sleep" => duration().map(Step::Sleep),
        "print" if operand.len() > MAX_TEXT_BYTES => Err(Problem::TextTooLong(operand.len())),
        "print" if operand.contains(char::is_control) => {
            Err(wrong("text without control characters"))
        }
        "print" => Ok(Step::Print(operand.as_bytes())),
        "exit" if operand.is_empty() => Ok(Step::Exit(0)),
        "exit" => parse_number(operand)
            .and_then(|code| u8::try_from(code).ok())
            .map(Step::Exit)
            .ok_or_else(|| wrong("a code of 0 to 255, or nothing")),
        "barrier" => alone(Step::Barrier),
        "forever" => alone(Step::Forever),
        "halt" => alone(Step::Halt),
        "fault" => alone(Step::Fault),
        "reset" => alone(Step::Reset),
        "touch" => parse_size(operand)
            .map(Step::Touch)
            .ok_or_else(|| wrong("a whole number with unit K or M, such as 8M, of at most 1020M")),
        "" => Err(Problem::Empty),
        unknown => Err(Problem::UnknownVerb(unknown.into())),
    }
}

/// A duration, in microseconds.
fn parse_duration(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let microseconds = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        _ => return None,
    };
    parse_number(number)?
        .checked_mul(microseconds)
        .filter(|duration| *duration <= MAX_MICROSECONDS)
}

/// A size, in bytes.
fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let bytes = match unit {
        "K" => 1 << 10,
        "M" => 1 << 20,
        _ => return None,
    };
    let size = parse_number(number)?.checked_mul(bytes);
    size.filter(|size| *size <= MAX_TOUCH_BYTES)
}

/// A decimal number, digits only: `str::parse` would take a sign as well.
fn parse_number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(bytes: &[u8]) -> Vec<(Target, Step<'_>)> {
        let mut steps = Vec::new();
        let mut rest = bytes;
        while let Some((target, step, after)) = Step::decode(rest) {
            steps.push((target, step));
            rest = after;
        }
        assert!(rest.is_empty(), "{rest:?} is left over");
        steps
    }

    fn problem(line: &str) -> String {
        Script::parse(&["exit", line]).unwrap_err().to_string()
    }

    #[test]
    fn every_verb_reaches_the_guest_as_it_was_written() {
        let script = Script::parse(&[
            "burn 200ms",
            "vcpu1: sleep 2s",
            "  vcpu63:print hello,  wörld: x ",
            "print",
            "exit",
            "vcpu0: exit 255",
            "barrier",
            "vcpu2: forever",
            "halt",
            "fault",
            "reset",
            "burn 50us",
            "touch 8M",
            "vcpu1: touch 64K",
        ])
        .unwrap();
        let expected = [
            (None, Step::Burn(200_000)),
            (Some(1), Step::Sleep(2_000_000)),
            (Some(63), Step::Print("hello,  wörld: x".as_bytes())),
            (None, Step::Print(b"")),
            (None, Step::Exit(0)),
            (Some(0), Step::Exit(255)),
            (None, Step::Barrier),
            (Some(2), Step::Forever),
            (None, Step::Halt),
            (None, Step::Fault),
            (None, Step::Reset),
            (None, Step::Burn(50)),
            (None, Step::Touch(8 << 20)),
            (Some(1), Step::Touch(64 << 10)),
        ];
        assert_eq!(steps(&script.encode()), expected);
        assert_eq!(script.max_vcpu(), Some(63));
        assert_eq!(script.memory_bytes(), 12 << 20);
    }

    #[test]
    fn an_empty_script_is_one() {
        let script = Script::parse(&[] as &[&str]).unwrap();
        assert!(script.encode().is_empty());
        assert_eq!(script.max_vcpu(), None);
        assert_eq!(script.memory_bytes(), MIN_MEMORY_BYTES);
    }

    #[test]
    fn an_error_names_the_line_the_verb_and_what_was_expected() {
        for (line, parts) in [
            (
                "burn 200",
                &["line 2", "burn", "unit us, ms or s", "\"200\""] as &[_],
            ),
            ("sleep", &["sleep", "200ms"]),
            ("sleep -1s", &["sleep", "\"-1s\""]),
            ("burn +1s", &["burn", "\"+1s\""]),
            ("burn ms", &["burn", "\"ms\""]),
            ("burn 1.5s", &["burn", "\"1.5s\""]),
            ("burn 99999999999999999999s", &["burn", "at most a week"]),
            ("burn 604801s", &["burn", "at most a week"]),
            ("exit 256", &["exit", "0 to 255", "\"256\""]),
            ("exit now", &["exit", "0 to 255"]),
            ("touch 8", &["touch", "unit K or M", "\"8\""]),
            ("touch M", &["touch", "\"M\""]),
            ("touch", &["touch", "such as 8M"]),
            ("touch 1021M", &["touch", "at most 1020M"]),
            ("touch 8\u{b5}", &["touch", "unit K or M"]),
            ("halt 3", &["halt", "nothing more", "\"3\""]),
            ("dance", &["unknown verb \"dance\"", "burn, sleep, print"]),
            ("", &["expected a verb"]),
            ("vcpu1:", &["expected a verb"]),
            ("vcpu64: halt", &["\"vcpu64\"", "vcpu0 to vcpu63"]),
            ("vcpu: halt", &["\"vcpu\""]),
            ("cpu1: halt", &["\"cpu1\""]),
            ("vcpu0: barrier", &["barrier", "every vCPU"]),
            ("print a\u{7}b", &["print", "control"]),
        ] {
            let message = problem(line);
            for part in parts {
                assert!(
                    message.contains(part),
                    "{line:?} gave {message:?} without {part:?}"
                );
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let longest = format!("print {}", "x".repeat(MAX_TEXT_BYTES));
        assert!(Script::parse(&[&longest]).is_ok());
        assert!(problem(&format!("{longest}x")).contains("1001 bytes"));
        let lines = vec![longest; 62];
        let error = Script::parse(&lines).unwrap_err();
        assert_eq!(
            error,
            ScriptError {
                line: 62,
                problem: Problem::ScriptTooLong
            }
        );
        assert!(Script::parse(&lines[..61]).is_ok());
    }

    #[test]
    fn bytes_that_are_no_steps_decode_to_nothing() {
        for bytes in [
            &[0, 0][..],
            &[1, 0xff, 1, 2],
            &[3, 0xff, 5, 0, b'x'],
            &[4, 0],
            &[10, 0],
            &[11, 0xff, 1],
            &[12, 0],
        ] {
            assert_eq!(Step::decode(bytes), None, "{bytes:?}");
        }
    }
}
