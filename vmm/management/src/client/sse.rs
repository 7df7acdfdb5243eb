//! Server-sent events as they come over the wire (WHATWG HTML, section 9.2.6): bytes in, messages out. Pure.

use serde::de::DeserializeOwned;

use super::ClientError;

/// A message longer than this, or a line, is none of ours.
const MAX_MESSAGE: usize = 1 << 20;

/// One server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The last id that the stream has said, to resume after; empty before the first.
    pub id: String,
    /// What kind of message it is; `message` where the stream does not say.
    pub event: String,
    /// Its lines.
    pub data: String,
}

impl Message {
    /// The JSON in it.
    ///
    /// # Errors
    /// [`ClientError::Protocol`] for what is not of this type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_str(&self.data)
            .map_err(|error| ClientError::Protocol(format!("an event of another form: {error}")))
    }
}

/// A stream's parser. Dies with its stream.
#[derive(Debug, Default)]
pub struct Parser {
    /// The line that has not ended.
    line: Vec<u8>,
    /// The last byte was a carriage return: a newline that follows belongs to it.
    after_return: bool,
    /// The message that has not ended; its id stays for the next.
    message: Message,
    has_data: bool,
}

/// A message, or a line, without an end in sight.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

impl Parser {
    /// Take bytes; the messages that they finish, in order.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Vec<Message>, TooLong> {
        let mut out = Vec::new();
        for &byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    out.extend(self.on_line(&String::from_utf8_lossy(&line)));
                }
                byte => self.line.push(byte),
            }
            if self.line.len() + self.message.data.len() > MAX_MESSAGE {
                return Err(TooLong);
            }
        }
        Ok(out)
    }

    fn on_line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            return self.on_end();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.message.event),
            "id" if !value.contains('\0') => value.clone_into(&mut self.message.id),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            // Comments have an empty field; `retry` is ours to decide.
            _ => {}
        }
        None
    }

    fn on_end(&mut self) -> Option<Message> {
        let id = self.message.id.clone();
        let mut done = std::mem::replace(
            &mut self.message,
            Message {
                id,
                ..Message::default()
            },
        );
        if !std::mem::take(&mut self.has_data) {
            return None;
        }
        if done.event.is_empty() {
            done.event = "message".to_owned();
        }
        Some(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": hello\r\nid: 1a.7\r\nevent: released\r\ndata: {\"a\":\r\ndata:1}\r\n\r\n\
                          event: gap\n\nretry: 5\ndata: two\n\n:\n\nid\rdata\r\rdata: lost";

    fn message(id: &str, event: &str, data: &str) -> Message {
        let [id, event, data] = [id, event, data].map(str::to_owned);
        Message { id, event, data }
    }

    #[test]
    fn messages_come_out_the_same_however_the_bytes_are_cut() {
        let expected = [
            message("1a.7", "released", "{\"a\":\n1}"),
            message("1a.7", "message", "two"),
            message("", "message", ""),
        ];
        assert_eq!(Parser::default().take(STREAM.as_bytes()).unwrap(), expected);
        for cut in 0..STREAM.len() {
            let (left, right) = STREAM.as_bytes().split_at(cut);
            let mut parser = Parser::default();
            let mut out = parser.take(left).unwrap();
            out.extend(parser.take(right).unwrap());
            assert_eq!(out, expected, "cut at {cut}");
        }
        let mut parser = Parser::default();
        let bytes = STREAM.as_bytes().chunks(1);
        let out: Vec<_> = bytes.flat_map(|one| parser.take(one).unwrap()).collect();
        assert_eq!(out, expected);
    }

    #[test]
    fn a_message_without_an_end_is_given_up() {
        let mut parser = Parser::default();
        assert_eq!(parser.take(&vec![b'x'; MAX_MESSAGE]), Ok(vec![]));
        assert_eq!(parser.take(b"x"), Err(TooLong));
        let mut parser = Parser::default();
        let line = [b"data: ".as_slice(), &[b'x'; 1000], b"\n"].concat();
        let given_up = (0..2_000).any(|_| parser.take(&line).is_err());
        assert!(given_up);
    }
}
