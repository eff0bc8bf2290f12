//! Reads a list of changed ranges, JSON `[[offset,length],…]` in bytes, however long, into bounded memory.
//!
//! A list that says too little loses data. So nothing of it is ever skipped: whatever cannot be understood fails the command.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use coffer_engine::backup::{ChangedRanges, RangeMerger};
use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};

use crate::error::CliError;

const FORM: &str = "a list is JSON [[offset,length],…] in bytes, such as [[0,4096],[1048576,65536]]";
/// More of a wrong value is not repeated.
const QUOTED_MAX: usize = 200;

/// Reads the list of a volume of `size_bytes` bytes; of more than `ranges_max` ranges the nearest are joined.
pub(crate) fn read(path: &Path, size_bytes: u64, ranges_max: usize) -> Result<ChangedRanges, CliError> {
    let failed = |source| CliError::File { step: "read list of changes", path: path.into(), source };
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => CliError::Usage(format!(
            "there is no list of changes {}; check --changes list:FILE",
            path.display()
        )),
        _ => failed(error),
    })?;
    parse(BufReader::new(file), size_bytes, ranges_max).map_err(|error| match error {
        Wrong::Io(error) => failed(error),
        Wrong::List(text) => CliError::Usage(format!("list of changes {}: {text}; {FORM}", path.display())),
    })
}

enum Wrong {
    Io(io::Error),
    List(String),
}

fn parse(reader: impl Read, size_bytes: u64, ranges_max: usize) -> Result<ChangedRanges, Wrong> {
    let mut merger = RangeMerger::new(ranges_max);
    let element = Cell::new(None);
    let mut json = serde_json::Deserializer::from_reader(reader);
    let list = List { size_bytes, merger: &mut merger, element: &element };
    let read = list.deserialize(&mut json).and_then(|()| {
        element.set(None);
        json.end()
    });
    match read {
        Ok(()) => Ok(merger.finish()),
        Err(error) if error.is_io() => Err(Wrong::Io(error.into())),
        Err(error) => {
            let text: String = error.to_string().chars().take(QUOTED_MAX).collect();
            Err(Wrong::List(match element.get() {
                Some(index) => format!("element {index}, counted from 0: {text}"),
                None => text,
            }))
        }
    }
}

/// The whole list.
struct List<'a> {
    size_bytes: u64,
    merger: &'a mut RangeMerger,
    /// The element that is being read.
    element: &'a Cell<Option<u64>>,
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of ranges")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        for index in 0.. {
            self.element.set(Some(index));
            let element = Element { size_bytes: self.size_bytes };
            let Some((offset, end)) = elements.next_element_seed(element)? else { break };
            self.merger.push(offset..end);
        }
        Ok(())
    }
}

/// One range: start and end.
struct Element {
    size_bytes: u64,
}

impl<'de> DeserializeSeed<'de> for Element {
    type Value = (u64, u64);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(u64, u64), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Element {
    type Value = (u64, u64);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[offset,length]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<(u64, u64), A::Error> {
        let (Some(offset), Some(length)) =
            (numbers.next_element_seed(Bytes)?, numbers.next_element_seed(Bytes)?)
        else {
            return Err(A::Error::custom("a range has two numbers, [offset,length]"));
        };
        if numbers.next_element_seed(Bytes)?.is_some() {
            return Err(A::Error::custom("a range has two numbers only, [offset,length]"));
        }
        self.range(offset, length).map_err(A::Error::custom)
    }
}

impl Element {
    fn range(&self, offset: u64, length: u64) -> Result<(u64, u64), String> {
        if length == 0 {
            return Err(format!("[{offset},0] has no length; leave it out if nothing changed there"));
        }
        let end = offset.checked_add(length).filter(|end| *end <= self.size_bytes);
        let end = end.ok_or_else(|| {
            format!(
                "[{offset},{length}] goes past the end of the volume, which has {} bytes; \
                 is the list of another volume?",
                self.size_bytes
            )
        })?;
        Ok((offset, end))
    }
}

/// A number of bytes.
struct Bytes;

impl<'de> DeserializeSeed<'de> for Bytes {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_u64(self)
    }
}

impl Visitor<'_> for Bytes {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of bytes from 0 to 18446744073709551615")
    }

    fn visit_u64<E>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(u64, u64)]) {
        let list = parse(text.as_bytes(), 1 << 20, 100);
        let list = list.map_err(|_| text).unwrap();
        let found: Vec<_> = list.ranges().iter().map(|range| (range.start, range.end)).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn any_order_overlap_and_white_space_is_read() {
        check("[]", &[]);
        check(" [ ] \n", &[]);
        check("[[0,1]]", &[(0, 1)]);
        check("[[10,5],[0,4],\n [12, 10]]\n", &[(0, 4), (10, 22)]);
        check("[[1048575,1]]", &[(1_048_575, 1_048_576)]);
    }

    #[test]
    fn whatever_is_no_range_of_the_volume_fails_with_element_and_value() {
        for (text, words) in [
            ("", &["EOF"][..]),
            ("{}", &["map", "a list of ranges"]),
            ("[[0,1]", &["EOF"]),
            ("[[0,1]] x", &["trailing characters"]),
            ("[[0,1],[2,1],3]", &["element 2, counted from 0", "`3`", "[offset,length]"]),
            ("[[0,1],{\"offset\":1}]", &["element 1", "map"]),
            ("[[0,1],[4096]]", &["element 1", "two numbers"]),
            ("[[0,1,2]]", &["element 0", "two numbers only"]),
            ("[[0,0]]", &["element 0", "[0,0]", "no length"]),
            ("[[0,-4096]]", &["element 0", "`-4096`", "whole number"]),
            ("[[1.5,1]]", &["element 0", "`1.5`", "whole number"]),
            ("[[1e3,1]]", &["element 0", "whole number"]),
            ("[[0,\"4096\"]]", &["element 0", "\"4096\"", "whole number"]),
            ("[[0,null]]", &["element 0", "null"]),
            ("[[0,18446744073709551616]]", &["element 0", "1.8446744073709552e+19", "whole number"]),
            (
                "[[18446744073709551615,1]]",
                &["element 0", "[18446744073709551615,1]", "past the end", "1048576"],
            ),
            ("[[1048576,1]]", &["element 0", "[1048576,1]", "1048576 bytes"]),
            ("[[0,1],[1000000,50000]]", &["element 1", "[1000000,50000]", "past the end"]),
        ] {
            let Err(Wrong::List(said)) = parse(text.as_bytes(), 1 << 20, 100) else {
                panic!("{text} is read")
            };
            assert!(words.iter().all(|word| said.contains(word)), "{text}: {said}");
        }
        let Err(Wrong::List(said)) = parse(format!("[[0,\"{}\"]]", "x".repeat(9999)).as_bytes(), 1, 1) else {
            panic!("text is read")
        };
        assert!(said.len() < 300, "{said}");
    }

    #[test]
    fn a_list_of_any_length_becomes_few_ranges_and_nothing_is_left_out() {
        let ranges: Vec<String> = (0..50_000).rev().map(|index| format!("[{},7]", index * 20)).collect();
        let list = parse(format!("[{}]", ranges.join(",")).as_bytes(), 1 << 20, 100);
        let list = list.map_err(|_| "not read").unwrap();
        assert!(list.ranges().len() <= 100);
        let has = |index: u64| list.ranges().iter().any(|r| r.start <= index * 20 && index * 20 + 7 <= r.end);
        assert!((0..50_000).all(has));
    }
}
