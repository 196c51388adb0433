//! The content of a file, independent of its layout, for comparing two files.

use std::collections::BTreeMap;
use std::fmt::Write;

use toml::de::{DeTable, DeValue};

use super::document::Document;

/// The values in a file by their names of two parts, such as `views.by_page` or `engine.data`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Meaning(BTreeMap<String, String>);

impl Meaning {
    /// The content of a file; empty if it is not TOML.
    pub(crate) fn of(document: &Document) -> Meaning {
        let mut said = BTreeMap::new();
        let Ok(table) = DeTable::parse(document.text()) else { return Meaning(said) };
        for (outer, value) in table.get_ref() {
            let DeValue::Table(inner) = value.get_ref() else { continue };
            for (name, value) in inner {
                let mut text = String::new();
                write_value(value.get_ref(), &mut text);
                said.insert(format!("{}.{}", outer.get_ref(), name.get_ref()), text);
            }
        }
        Meaning(said)
    }

    /// The value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The names whose values differ, or that only one of the two files has.
    pub(crate) fn differences<'a>(&'a self, other: &'a Meaning) -> Vec<&'a str> {
        let mut names: Vec<&str> =
            self.0.keys().chain(other.0.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| self.get(name) != other.get(name));
        names
    }
}

fn write_value(value: &DeValue<'_>, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = match value {
        DeValue::String(text) => write!(out, "{text:?}"),
        DeValue::Integer(number) => write!(out, "{} of {}", number.as_str(), number.radix()),
        DeValue::Float(number) => write!(out, "{}", number.as_str()),
        DeValue::Boolean(is_so) => write!(out, "{is_so}"),
        DeValue::Datetime(time) => write!(out, "{time}"),
        DeValue::Array(list) => {
            out.push('[');
            for value in list {
                write_value(value.get_ref(), out);
                out.push(',');
            }
            write!(out, "]")
        }
        DeValue::Table(table) => {
            let mut entries: Vec<_> = table.iter().collect();
            entries.sort_by(|(one, _), (other, _)| one.get_ref().cmp(other.get_ref()));
            out.push('{');
            for (name, value) in entries {
                let _ = write!(out, "{:?}:", name.get_ref());
                write_value(value.get_ref(), out);
                out.push(',');
            }
            write!(out, "}}")
        }
    };
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn meaning(text: &str) -> Meaning {
        Meaning::of(&Document::new(Path::new("f.toml"), text))
    }

    #[test]
    fn layout_and_comments_do_not_count_and_values_do() {
        let one = meaning(
            "[engine]\ndata = \"d\"\n[views.a]\nfrom = \"s\"\nkey = { x = \"x\", y = \"y\" }\n",
        );
        let other = "[views]\n# the first one\na = { key = { y = 'y', x = \"x\" }, from = 's' }\n[engine]\ndata = 'd'\n";
        assert_eq!(one, meaning(other));
        let changed =
            other.replace("from = 's'", "from = ['s']").replace("data = 'd'", "workers = 2");
        let expect = ["engine.data", "engine.workers", "views.a"];
        assert_eq!(one.differences(&meaning(&changed)), expect);
    }
}
