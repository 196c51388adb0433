//! Names of columns and measures, from the types or from the program, no two the same.

use std::collections::HashSet;

use super::column::join;
use super::shape::{AggregateShape, Form};
use super::{Measure, SchemaError};

/// Reserved names of a view's table.
pub(crate) const RESERVED: [&str; 2] = ["day", "sealed"];

/// The longest name, in bytes.
const LONGEST: usize = 128;

/// Whether a column may have this name.
pub(crate) fn is_column_name(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len())
        && !name.chars().any(char::is_control)
        && !RESERVED.contains(&name)
}

/// Names from the types, made distinct.
#[derive(Default)]
pub(super) struct Unique(HashSet<String>);

impl Unique {
    pub(super) fn new() -> Unique {
        Unique(RESERVED.map(str::to_owned).into())
    }

    /// Takes a name, with a number appended if it is taken.
    pub(super) fn take(&mut self, name: &str) -> String {
        let mut taken = name.to_owned();
        let mut number = 1;
        while !self.0.insert(taken.clone()) {
            number += 1;
            taken = format!("{name}_{number}");
        }
        taken
    }
}

/// The measures of a shape, one after the other, and the number of elements of each list.
#[derive(Default)]
pub(super) struct Flat {
    pub(super) measures: Vec<Measure>,
    /// Whether the program gives the whole name of each.
    pub(super) given: Vec<bool>,
    pub(super) lists: Vec<u32>,
}

impl Flat {
    /// `names` are the names from the program, by parts of the aggregate; if empty, the names of the types are used.
    pub(super) fn of(shape: &AggregateShape, names: &[Vec<String>]) -> Result<Flat, SchemaError> {
        let parts = match &shape.0 {
            Form::Parts(parts) => parts.as_slice(),
            _ => std::slice::from_ref(shape),
        };
        if names.is_empty() {
            return Ok(Flat::unnamed(shape));
        }
        if names.len() != parts.len() {
            return Err(SchemaError::Parts { found: names.len(), expected: parts.len() });
        }
        let mut flat = Flat::default();
        for (at, (part, names)) in parts.iter().zip(names).enumerate() {
            flat.add_named(at, part, names)?;
        }
        Ok(flat)
    }

    /// With the names of the types.
    pub(super) fn unnamed(shape: &AggregateShape) -> Flat {
        let mut flat = Flat::default();
        flat.add(shape, "");
        flat
    }

    fn add_named(
        &mut self,
        at: usize,
        part: &AggregateShape,
        names: &[String],
    ) -> Result<(), SchemaError> {
        if let Form::List(element) = &part.0 {
            self.lists.push(names.len() as u32);
            names.iter().for_each(|name| self.add_whole(element, name));
            return Ok(());
        }
        let aggregates = aggregates(part);
        match names {
            [name] => self.add_whole(part, name),
            _ if names.len() == aggregates => self.add_each(part, &mut names.iter()),
            _ => {
                let (part, found) = (at + 1, names.len());
                return Err(SchemaError::Names { part, found, expected: aggregates });
            }
        }
        Ok(())
    }

    /// A part that has a name.
    fn add_whole(&mut self, part: &AggregateShape, name: &str) {
        match aggregates(part) {
            1 => self.add_each(part, &mut std::iter::repeat(&name.to_owned())),
            _ => self.add(part, name),
        }
    }

    /// A part each of whose aggregates has a name.
    fn add_each<'a>(
        &mut self,
        part: &AggregateShape,
        names: &mut impl Iterator<Item = &'a String>,
    ) {
        match &part.0 {
            Form::One { measures, .. } => {
                let name = names.next().map_or("", String::as_str);
                self.extend(name, measures, true);
            }
            Form::Parts(parts) => parts.iter().for_each(|part| self.add_each(part, names)),
            Form::List(_) => self.lists.push(0),
            Form::Dynamic { .. } => self.add(part, ""),
        }
    }

    /// A part whose aggregates have the names of their types, after a prefix.
    fn add(&mut self, part: &AggregateShape, before: &str) {
        match &part.0 {
            Form::One { name, measures } => self.extend(&join(before, name), measures, false),
            Form::Parts(parts) => parts.iter().for_each(|part| self.add(part, before)),
            // Only the program knows their number.
            Form::List(_) => self.lists.push(0),
            Form::Dynamic { measures, parameters } => {
                self.lists.extend(parameters);
                self.extend("", measures, false);
            }
        }
    }

    fn extend(&mut self, name: &str, measures: &[Measure], is_given: bool) {
        self.given.extend(measures.iter().map(|measure| is_given && measure.name.is_empty()));
        let named =
            |measure: &Measure| Measure { name: join(name, &measure.name), ..measure.clone() };
        self.measures.extend(measures.iter().map(named));
    }
}

/// How many aggregates can be named in a part.
fn aggregates(part: &AggregateShape) -> usize {
    match &part.0 {
        Form::One { .. } => 1,
        Form::Parts(parts) => parts.iter().map(aggregates).sum(),
        Form::List(_) | Form::Dynamic { .. } => 0,
    }
}
