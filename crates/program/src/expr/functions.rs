//! The functions, and their arguments.

use dayfold::time::Calendar;
use sqlparser::ast::{
    CeilFloorKind, DateTimeField, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    TrimWhereField, Value as Literal,
};

use super::call::Call;
use super::cast::times_of;
use super::cell::{Cell, Type};
use super::compile::{Compiled, Compiler, Typed};
use super::error::ExprError;
use super::node::{Arithmetic, Node};
use super::scope::nearest;
use super::text;
use super::time::{Field, Zone};

/// Every function, in lower case.
const NAMES: [&str; 29] = [
    "abs",
    "ceil",
    "ceiling",
    "coalesce",
    "concat",
    "extract",
    "floor",
    "json_get",
    "length",
    "lower",
    "ltrim",
    "mod",
    "nullif",
    "parse_timestamp",
    "regexp_match",
    "regexp_matches",
    "replace",
    "round",
    "rtrim",
    "split_part",
    "substr",
    "substring",
    "timestamp_micros",
    "timestamp_millis",
    "timestamp_seconds",
    "trim",
    "upper",
    "url_host",
    "url_path",
];

impl Compiler<'_> {
    /// Compiles a call.
    pub(crate) fn called(&mut self, expr: &Expr, at: usize) -> Compiled {
        match expr {
            Expr::Function(function) => self.function(function),
            Expr::Floor { expr, field } => self.rounding("floor", expr, field, at),
            Expr::Ceil { expr, field } => self.rounding("ceil", expr, field, at),
            Expr::Extract { field, expr, .. } => {
                let typed = self.compile(expr)?;
                self.extract(&field.to_string().to_lowercase(), typed, at)
            }
            Expr::Trim { expr, trim_where, trim_what, trim_characters } => {
                let chars = match (trim_what, trim_characters.as_deref()) {
                    (Some(what), _) => Some(self.compile(what)?),
                    (None, Some([what])) => Some(self.compile(what)?),
                    _ => None,
                };
                let left = !matches!(trim_where, Some(TrimWhereField::Trailing));
                let right = !matches!(trim_where, Some(TrimWhereField::Leading));
                let typed = self.compile(expr)?;
                self.trim(typed, chars, (left, right), at)
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let mut arguments = vec![self.compile(expr)?];
                match substring_from {
                    Some(from) => arguments.push(self.compile(from)?),
                    None => arguments.push(Typed {
                        node: Node::Literal(Cell::Integer(1)),
                        kind: Type::Integer,
                        at,
                    }),
                }
                if let Some(length) = substring_for {
                    arguments.push(self.compile(length)?);
                }
                self.call("substr", arguments, at)
            }
            other => {
                let shown: String = other.to_string().chars().take(40).collect();
                Err(ExprError::new(
                    at,
                    format!("expected an expression over columns of one row, found '{shown}'"),
                ))
            }
        }
    }

    /// The name of a function in lower case, and its position.
    pub(crate) fn function_name(&self, function: &Function) -> Result<(String, usize), ExprError> {
        let ident = match &function.name.0[..] {
            [part] => part.as_ident(),
            _ => None,
        };
        match ident {
            Some(ident) => Ok((ident.value.to_lowercase(), self.place_of(ident))),
            None => Err(ExprError::new(0, format!("there is no function '{}'", function.name))),
        }
    }

    /// The arguments of a measure: `count(*)` has none.
    pub(crate) fn measure_arguments<'e>(
        &self,
        name: &str,
        function: &'e Function,
    ) -> Result<Vec<&'e Expr>, ExprError> {
        match &function.args {
            FunctionArguments::List(list) if name == "count" => match &list.args[..] {
                [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] => Ok(Vec::new()),
                _ => self.arguments(function),
            },
            _ => self.arguments(function),
        }
    }

    fn arguments<'e>(&self, function: &'e Function) -> Result<Vec<&'e Expr>, ExprError> {
        let (name, at) = self.function_name(function)?;
        let plain = || {
            ExprError::new(at, format!("{name}: expected plain arguments, such as {name}(column)"))
        };
        let has_more = function.over.is_some()
            || function.filter.is_some()
            || !function.within_group.is_empty();
        match &function.args {
            FunctionArguments::List(list)
                if list.duplicate_treatment.is_some() && name == "count" =>
            {
                Err(ExprError::new(at, "count(DISTINCT …) is distinct(…) here"))
            }
            FunctionArguments::List(list)
                if !has_more && list.duplicate_treatment.is_none() && list.clauses.is_empty() =>
            {
                let expr = |argument: &'e FunctionArg| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
                    _ => Err(plain()),
                };
                list.args.iter().map(expr).collect()
            }
            _ => Err(plain()),
        }
    }

    fn function(&mut self, function: &Function) -> Compiled {
        let (name, at) = self.function_name(function)?;
        let arguments = self.arguments(function)?;
        if name == "extract" || name == "date_part" {
            return Err(ExprError::new(at, "expected EXTRACT(field FROM timestamp)"));
        }
        let arguments =
            arguments.into_iter().map(|expr| self.compile(expr)).collect::<Result<_, _>>()?;
        self.call(&name, arguments, at)
    }

    fn rounding(&mut self, name: &str, expr: &Expr, field: &CeilFloorKind, at: usize) -> Compiled {
        let is_plain = match field {
            CeilFloorKind::DateTimeField(field) => *field == DateTimeField::NoDateTime,
            CeilFloorKind::Scale(value) => {
                matches!(&value.value, Literal::Number(digits, _) if digits == "0")
            }
        };
        if !is_plain {
            return Err(ExprError::new(
                at,
                format!("{name} takes one number: use round(x, digits)"),
            ));
        }
        let typed = self.compile(expr)?;
        self.call(name, vec![typed], at)
    }

    /// Compiles a function whose arguments are compiled.
    fn call(&mut self, name: &str, arguments: Vec<Typed>, at: usize) -> Compiled {
        let of_text = |call: Call, kind: Type, nodes: Vec<Node>| {
            Ok(Typed { node: Node::Call(call, nodes), kind, at })
        };
        match name {
            "lower" | "upper" | "length" | "url_host" | "url_path" => {
                let [text] = exactly(name, arguments, "a text", at)?;
                let text = self.coerce(text, Type::Text, "as a text")?.node;
                let (call, kind) = match name {
                    "lower" => (Call::Lower, Type::Text),
                    "upper" => (Call::Upper, Type::Text),
                    "length" => (Call::Length, Type::Integer),
                    "url_host" => (Call::UrlHost, Type::Text),
                    _ => (Call::UrlPath, Type::Text),
                };
                of_text(call, kind, vec![text])
            }
            "trim" | "ltrim" | "rtrim" => {
                let mut arguments = arguments.into_iter();
                let (text, chars) = (arguments.next(), arguments.next());
                let text = text.filter(|_| arguments.next().is_none());
                let text = text.ok_or_else(|| {
                    ExprError::new(
                        at,
                        format!(
                            "{name}: expected a text, and the characters to remove, if not spaces"
                        ),
                    )
                })?;
                self.trim(text, chars, (name != "rtrim", name != "ltrim"), at)
            }
            "substr" | "substring" => {
                if !(2..=3).contains(&arguments.len()) {
                    return Err(wrong(
                        name,
                        &arguments,
                        "a text, a place from 1, and perhaps a length",
                        at,
                    ));
                }
                let kinds = [Type::Text, Type::Integer, Type::Integer];
                of_text(Call::Substr, Type::Text, self.of_kinds(arguments, &kinds)?)
            }
            "split_part" => {
                let arguments: [Typed; 3] =
                    exactly(name, arguments, "a text, a delimiter, and a place from 1", at)?;
                let kinds = [Type::Text, Type::Text, Type::Integer];
                of_text(Call::SplitPart, Type::Text, self.of_kinds(arguments.into(), &kinds)?)
            }
            "replace" => {
                let arguments: [Typed; 3] =
                    exactly(name, arguments, "a text, what is replaced, and its replacement", at)?;
                let kinds = [Type::Text; 3];
                of_text(Call::Replace, Type::Text, self.of_kinds(arguments.into(), &kinds)?)
            }
            "concat" => {
                let nodes = arguments.into_iter().map(|typed| Ok(self.as_text(typed)?.node));
                Ok(Typed {
                    node: Node::Concat(nodes.collect::<Result<_, ExprError>>()?),
                    kind: Type::Text,
                    at,
                })
            }
            "regexp_match" | "regexp_matches" => {
                let [text, pattern] = exactly(name, arguments, "a text and a pattern", at)?;
                let text = self.coerce(text, Type::Text, "as a text")?.node;
                let pattern_at = pattern.at;
                let pattern = self.constant_text(&pattern, "a regular expression")?;
                let regex = regex::RegexBuilder::new(&pattern).size_limit(1 << 20).build();
                let regex = regex
                    .map_err(|error| ExprError::new(pattern_at, one_line(&error.to_string())))?;
                of_text(Call::Matches(Box::new(regex)), Type::Boolean, vec![text])
            }
            "json_get" => {
                let [text, path] = exactly(name, arguments, "a text and a path", at)?;
                let text = self.coerce(text, Type::Text, "as a text")?.node;
                let path_at = path.at;
                let path = self.constant_text(&path, "a path such as user.tags[0]")?;
                let path =
                    text::json_path(&path).map_err(|message| ExprError::new(path_at, message))?;
                of_text(Call::JsonGet(path), Type::Text, vec![text])
            }
            "abs" | "floor" | "ceil" | "ceiling" => {
                let [number] = exactly(name, arguments, "a number", at)?;
                let Typed { node, kind, .. } = self.number(number, "as a number")?;
                let (call, kind) = match name {
                    "abs" => (Call::Abs, kind),
                    "floor" => (Call::Floor, Type::Integer),
                    _ => (Call::Ceil, Type::Integer),
                };
                of_text(call, kind, vec![node])
            }
            "round" => self.round(arguments, at),
            "mod" => {
                let [left, right] = exactly(name, arguments, "two numbers", at)?;
                let (left, right) =
                    (self.number(left, "as a number")?, self.number(right, "as a number")?);
                let is_decimal = left.kind == Type::Decimal || right.kind == Type::Decimal;
                let kind = if is_decimal { Type::Decimal } else { Type::Integer };
                let (left, right) =
                    (self.coerce(left, kind, "in mod")?, self.coerce(right, kind, "in mod")?);
                Ok(Typed {
                    node: Node::arithmetic(Arithmetic::Modulo, kind, left.node, right.node),
                    kind,
                    at,
                })
            }
            "coalesce" => {
                if arguments.is_empty() {
                    return Err(wrong(name, &arguments, "values", at));
                }
                let (nodes, kind) = self.unify(arguments)?;
                Ok(Typed { node: Node::Coalesce(nodes), kind, at })
            }
            "nullif" => {
                let [left, right] = exactly(name, arguments, "two values", at)?;
                let (left, right) = self.alike(left, right)?;
                let kind = left.kind;
                Ok(Typed { node: Node::NullIf(Box::new((left.node, right.node))), kind, at })
            }
            "parse_timestamp" => self.parse_timestamp(arguments, at),
            "timestamp_seconds" => self.timestamp(name, arguments, 1_000_000, at),
            "timestamp_millis" => self.timestamp(name, arguments, 1_000, at),
            "timestamp_micros" => self.timestamp(name, arguments, 1, at),
            other => Err(unknown(other, at)),
        }
    }

    /// `round(x)` and `round(x, digits)`. A quotient is rounded once, from its exact value.
    fn round(&mut self, mut arguments: Vec<Typed>, at: usize) -> Compiled {
        const EXPECTED: &str =
            "a number, and how many digits to keep after the point, from -18 to 9";
        let digits = match arguments.len() {
            1 => 0,
            2 => match arguments.pop() {
                Some(Typed { node: Node::Literal(Cell::Integer(digits @ -18..=9)), .. }) => {
                    digits as i32
                }
                other => {
                    return Err(ExprError::new(
                        other.map_or(at, |typed| typed.at),
                        format!("round: expected {EXPECTED}"),
                    ));
                }
            },
            _ => return Err(wrong("round", &arguments, EXPECTED, at)),
        };
        let [number] = exactly("round", arguments, EXPECTED, at)?;
        let Typed { node, kind, .. } = self.number(number, "as a number")?;
        let (node, kind) = match (node, kind) {
            (Node::Quotient(pair, _), _) if digits >= 0 => {
                return Ok(Typed {
                    node: Node::Quotient(pair, digits as u8),
                    kind: Type::Decimal,
                    at,
                });
            }
            (node, Type::Integer) if digits < 0 => (Node::ToDecimal(Box::new(node)), Type::Decimal),
            (node, kind) => (node, kind),
        };
        Ok(Typed { node: Node::Call(Call::Round(digits), vec![node]), kind, at })
    }

    fn parse_timestamp(&mut self, arguments: Vec<Typed>, at: usize) -> Compiled {
        if !(2..=3).contains(&arguments.len()) {
            return Err(wrong(
                "parse_timestamp",
                &arguments,
                "a text, a format, and perhaps a zone",
                at,
            ));
        }
        let mut arguments = arguments.into_iter();
        let (Some(text), Some(format), zone) =
            (arguments.next(), arguments.next(), arguments.next())
        else {
            return Err(ExprError::new(at, "parse_timestamp: expected a text and a format"));
        };
        let text = self.coerce(text, Type::Text, "as a text")?.node;
        let format_at = format.at;
        let format = self.constant_text(&format, "a format such as %d/%m/%Y %H:%M")?;
        let zone = match zone {
            None => self.scope.zone().clone(),
            Some(zone) => {
                let name = self.constant_text(&zone, "a zone such as Europe/Vienna")?;
                Calendar::new(&name).map_err(|error| ExprError::new(zone.at, error.to_string()))?
            }
        };
        let times =
            times_of(&format, &zone).map_err(|message| ExprError::new(format_at, message))?;
        Ok(Typed {
            node: Node::Call(Call::ParseTimestamp(Box::new(times)), vec![text]),
            kind: Type::Timestamp,
            at,
        })
    }

    fn timestamp(
        &mut self,
        name: &str,
        arguments: Vec<Typed>,
        thousandths: i128,
        at: usize,
    ) -> Compiled {
        let [number] = exactly(name, arguments, "a number", at)?;
        let number = self.number(number, "as a number")?;
        Ok(Typed {
            node: Node::Call(Call::Timestamp(thousandths), vec![number.node]),
            kind: Type::Timestamp,
            at,
        })
    }

    fn extract(&mut self, field: &str, typed: Typed, at: usize) -> Compiled {
        let field = match field {
            "isoweek" => "week",
            "dayofweek" => "dow",
            "dayofyear" => "doy",
            field => field
                .strip_suffix('s')
                .filter(|single| Field::of(single).is_some())
                .unwrap_or(field),
        };
        let Some(found) = Field::of(field) else {
            let names: Vec<&str> = Field::NAMES.iter().map(|(name, _)| *name).collect();
            return Err(ExprError::new(
                at,
                format!("there is no field '{field}': expected one of {}", names.join(", ")),
            ));
        };
        let typed = match typed.kind {
            Type::Timestamp => typed,
            Type::Date if found.is_of_dates() => typed,
            Type::Date => {
                return Err(ExprError::new(
                    typed.at,
                    format!("a date has no {field}: expected a timestamp"),
                ));
            }
            _ => self.coerce(typed, Type::Timestamp, "in EXTRACT")?,
        };
        let kind = if found == Field::Epoch { Type::Decimal } else { Type::Integer };
        let call = Call::Extract(found, Zone::of(self.scope.zone()));
        Ok(Typed { node: Node::Call(call, vec![typed.node]), kind, at })
    }

    fn trim(
        &mut self,
        typed: Typed,
        chars: Option<Typed>,
        (left, right): (bool, bool),
        at: usize,
    ) -> Compiled {
        let text = self.coerce(typed, Type::Text, "as a text")?.node;
        let chars = match chars {
            Some(typed) => {
                self.constant_text(&typed, "the characters to remove")?.chars().collect()
            }
            None => vec![' '],
        };
        Ok(Typed {
            node: Node::Call(Call::Trim { left, right, chars }, vec![text]),
            kind: Type::Text,
            at,
        })
    }

    fn of_kinds(&mut self, arguments: Vec<Typed>, kinds: &[Type]) -> Result<Vec<Node>, ExprError> {
        let pairs = arguments.into_iter().zip(kinds);
        pairs.map(|(typed, kind)| Ok(self.coerce(typed, *kind, "here")?.node)).collect()
    }

    /// Converts a value to text.
    pub(crate) fn as_text(&mut self, typed: Typed) -> Compiled {
        match typed.kind {
            Type::Text | Type::Untyped | Type::Null => self.coerce(typed, Type::Text, "here"),
            _ => self.cast(typed, &sqlparser::ast::DataType::Text, false),
        }
    }

    /// The value of a text literal.
    pub(crate) fn constant_text(&self, typed: &Typed, what: &str) -> Result<String, ExprError> {
        match &typed.node {
            Node::Literal(Cell::Text(text)) => Ok(text.clone().into_owned()),
            _ => Err(ExprError::new(typed.at, format!("expected {what} as a text in '…'"))),
        }
    }
}

/// Checks the number of arguments.
fn exactly<const N: usize>(
    name: &str,
    arguments: Vec<Typed>,
    expected: &str,
    at: usize,
) -> Result<[Typed; N], ExprError> {
    arguments.try_into().map_err(|arguments: Vec<Typed>| wrong(name, &arguments, expected, at))
}

fn wrong(name: &str, arguments: &[Typed], expected: &str, at: usize) -> ExprError {
    ExprError::new(at, format!("{name} has {} arguments: expected {expected}", arguments.len()))
}

fn unknown(name: &str, at: usize) -> ExprError {
    const MEASURES: [&str; 9] =
        ["count", "sum", "min", "max", "mean", "avg", "distinct", "quantile", "count_if"];
    let message = match nearest(name, NAMES) {
        _ if MEASURES.contains(&name) => {
            format!("'{name}' is a measure, and a measure cannot be within an expression")
        }
        Some(near) => format!("there is no function '{name}': did you mean '{near}'?"),
        None => format!("there is no function '{name}': expected one of {}", NAMES.join(", ")),
    };
    ExprError::new(at, message)
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
