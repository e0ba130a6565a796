//! What a name led to, as bytes in a look.

use std::ffi::CString;
use std::io;

use super::look::{
    Cursor, KIND_DIRECTORY, KIND_FILE, KIND_LINK, KIND_MISSING, damaged, put_bytes, put_count,
};
use super::node::{Budget, Node, Sign};

impl Node {
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Node::Missing => bytes.push(KIND_MISSING),
            Node::File { sign, content } => {
                bytes.push(KIND_FILE);
                sign.encode(bytes);
                put_bytes(bytes, content)?;
            }
            Node::Link { target } => {
                bytes.push(KIND_LINK);
                put_bytes(bytes, target.as_bytes())?;
            }
            Node::Directory { sign, entries } => {
                bytes.push(KIND_DIRECTORY);
                sign.encode(bytes);
                put_count(bytes, entries.len())?;
                for (name, node) in entries {
                    put_bytes(bytes, name.as_bytes())?;
                    node.encode(bytes)?;
                }
            }
        }
        Ok(())
    }

    /// Reads one, which is no more than is kept.
    pub(super) fn decode(cursor: &mut Cursor<'_>, left: &mut Budget) -> io::Result<Node> {
        match cursor.kind()? {
            KIND_MISSING => Ok(Node::Missing),
            KIND_FILE => {
                let sign = Sign::decode(cursor)?;
                let content = cursor.bytes()?.to_vec();
                left.spend(1, content.len())?;
                Ok(Node::File { sign, content })
            }
            KIND_LINK => {
                let target = string(cursor)?;
                left.spend(1, target.as_bytes().len())?;
                Ok(Node::Link { target })
            }
            KIND_DIRECTORY => {
                let sign = Sign::decode(cursor)?;
                let count = cursor.count()?;
                left.spend(1, 0)?;
                left.enter()?;
                let mut entries = Vec::new();
                for _ in 0..count {
                    let name = string(cursor)?;
                    if matches!(name.as_bytes(), b"" | b"." | b"..")
                        || name.as_bytes().contains(&b'/')
                    {
                        return Err(damaged());
                    }
                    entries.push((name, Node::decode(cursor, left)?));
                }
                left.leave();
                Ok(Node::Directory { sign, entries })
            }
            _ => Err(damaged()),
        }
    }

    /// Takes what this costs to keep off what may still be kept.
    pub(super) fn charge(&self, left: &mut Budget) -> io::Result<()> {
        match self {
            Node::Missing => Ok(()),
            Node::File { content, .. } => left.spend(1, content.len()),
            Node::Link { target } => left.spend(1, target.as_bytes().len()),
            Node::Directory { entries, .. } => {
                left.spend(1, 0)?;
                entries.iter().try_for_each(|(_, node)| node.charge(left))
            }
        }
    }
}

fn string(cursor: &mut Cursor<'_>) -> io::Result<CString> {
    CString::new(cursor.bytes()?).map_err(|_| damaged())
}
