//! HTTP/1.1 messages as far as a proxy must know them: where they end. Nothing is changed unless asked for.

use std::io::{self, BufRead, Read, Write};

/// A request or an answer.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// The first line.
    pub(crate) start: String,
    /// Names as they came, and values.
    pub(crate) headers: Vec<(String, String)>,
    /// The body as it stands on the line, chunk headers included.
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The next message without its body; none at the end of the connection.
    pub(crate) fn read_head(from: &mut impl BufRead) -> io::Result<Option<Message>> {
        let mut start = String::new();
        if from.read_line(&mut start)? == 0 {
            return Ok(None);
        }
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => headers.push((name.to_owned(), value.trim_start().to_owned())),
                None if line.trim_end().is_empty() => break,
                None => return Err(io::Error::other(format!("no header: {line}"))),
            }
        }
        Ok(Some(Message { start: start.trim_end().to_owned(), headers, body: Vec::new() }))
    }

    /// The first value of a header.
    pub(crate) fn header(&self, wanted: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.as_str())
    }

    /// Bytes of the body that the head announces.
    pub(crate) fn body_len(&self) -> usize {
        self.header("content-length").and_then(|len| len.parse().ok()).unwrap_or(0)
    }

    /// Reads the body of a request.
    pub(crate) fn read_body(&mut self, from: &mut impl BufRead) -> io::Result<()> {
        self.read_part(from, self.body_len())
    }

    /// Reads the first `len` bytes of the body.
    pub(crate) fn read_part(&mut self, from: &mut impl BufRead, len: usize) -> io::Result<()> {
        if self.header("transfer-encoding").is_some() {
            return self.read_chunks(from);
        }
        self.body = vec![0; len];
        from.read_exact(&mut self.body)
    }

    /// Reads the body of an answer to a request with this method.
    pub(crate) fn read_answer_body(&mut self, from: &mut impl BufRead, method: &str) -> io::Result<()> {
        let status = self.start.split(' ').nth(1).unwrap_or_default();
        if method == "HEAD" || matches!(status, "204" | "304") {
            return Ok(());
        }
        self.read_body(from)
    }

    fn read_chunks(&mut self, from: &mut impl BufRead) -> io::Result<()> {
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let size = line.trim_end().split(';').next().unwrap_or_default();
            let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
            self.body.extend_from_slice(line.as_bytes());
            // Its line end belongs to the chunk; after the last one there are no trailers.
            from.by_ref().take(size + 2).read_to_end(&mut self.body)?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    /// The head as it stands on the line.
    pub(crate) fn head_bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.into_bytes()
    }

    /// The whole message as it stands on the line.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends it.
    pub(crate) fn send(&self, mut to: impl Write) -> io::Result<()> {
        to.write_all(&self.bytes())
    }
}
