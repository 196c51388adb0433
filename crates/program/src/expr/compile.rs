//! Compiles the parser's tree to typed nodes.

use std::borrow::Cow;

use dayfold::aggregate::Decimal;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, Ident, InTarget, UnaryOperator, Value as Literal, ValueWithSpan,
};

use super::cell::{Cell, Type};
use super::error::ExprError;
use super::expression::{Argument, Call, Expression};
use super::node::{Arithmetic, Comparison, Node};
use super::read::Format;
use super::scope::Scope;
use super::text::Like;
use super::{parse, read, time};
use dayfold::source::{AmbiguousTime, TimeParser};

/// The maximum depth of trees, so that the stack of any thread is large enough.
const DEPTH_MAX: usize = 200;

/// A node, the type of its values, and its position in the text.
#[derive(Debug)]
pub(crate) struct Typed {
    pub(crate) node: Node,
    pub(crate) kind: Type,
    pub(crate) at: usize,
}

/// The result of compiling a part of an expression.
pub(crate) type Compiled = Result<Typed, ExprError>;

/// Compiles one text.
pub(crate) struct Compiler<'a> {
    pub(crate) text: &'a str,
    pub(crate) scope: &'a mut Scope,
    depth: usize,
}

impl<'a> Compiler<'a> {
    pub(crate) fn new(text: &'a str, scope: &'a mut Scope) -> Compiler<'a> {
        Compiler { text, scope, depth: 0 }
    }

    /// Compiles the whole text. A text that is exactly the name of a column is that column, whatever characters it has.
    pub(crate) fn whole(&mut self, text: &str) -> Compiled {
        if self.scope.has(text) {
            return self.column(text, true, 0);
        }
        let expr = parse::parse(text)?;
        self.compile(&expr)
    }

    /// Compiles the call of a measure.
    pub(crate) fn measure(&mut self, text: &str) -> Result<Call, ExprError> {
        let expr = parse::parse(text)?;
        let Expr::Function(function) = &expr else {
            let at = self.place(&expr);
            return Err(ExprError::new(
                at,
                "expected the call of a measure, such as count() or sum(column)",
            ));
        };
        let (name, at) = self.function_name(function)?;
        let mut arguments = Vec::new();
        for expr in self.measure_arguments(&name, function)? {
            let typed = self.compile(expr)?;
            let expression = Expression::new(typed.node, typed.kind);
            arguments.push(Argument { expression, text: expr.to_string(), at: typed.at });
        }
        Ok(Call { name, at, arguments })
    }

    pub(crate) fn place(&self, expr: &Expr) -> usize {
        parse::place(self.text, expr)
    }

    pub(crate) fn place_of(&self, ident: &Ident) -> usize {
        parse::offset(self.text, ident.span.start)
    }

    /// Compiles a part, and evaluates it at once if it depends on no column.
    pub(crate) fn compile(&mut self, expr: &Expr) -> Compiled {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let message =
                format!("more than {DEPTH_MAX} operators within each other: use IN for long lists");
            return Err(ExprError::new(self.place(expr), message));
        }
        let typed = self.part(expr)?;
        self.depth -= 1;
        fold(typed)
    }

    fn part(&mut self, expr: &Expr) -> Compiled {
        let at = self.place(expr);
        match expr {
            Expr::Identifier(ident) => self.column(&ident.value, ident.quote_style.is_some(), at),
            Expr::CompoundIdentifier(parts) => {
                let is_quoted = parts.iter().any(|part| part.quote_style.is_some());
                let names: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
                self.column(&names.join("."), is_quoted, at)
            }
            Expr::Nested(inner) => self.compile(inner),
            Expr::Value(value) => literal(value, at),
            Expr::TypedString(typed) => {
                let text = Typed { node: text_node(&typed.value, at)?, kind: Type::Text, at };
                self.cast(text, &typed.data_type, false)
            }
            Expr::UnaryOp { op, expr } => self.unary(op, expr, at),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right, at),
            Expr::IsNull(expr) => self.is_null(expr, false, at),
            Expr::IsNotNull(expr) => self.is_null(expr, true, at),
            Expr::IsTrue(expr) => self.is(expr, Some(true), false, at),
            Expr::IsNotTrue(expr) => self.is(expr, Some(true), true, at),
            Expr::IsFalse(expr) => self.is(expr, Some(false), false, at),
            Expr::IsNotFalse(expr) => self.is(expr, Some(false), true, at),
            Expr::IsUnknown(expr) => self.is(expr, None, false, at),
            Expr::IsNotUnknown(expr) => self.is(expr, None, true, at),
            Expr::IsDistinctFrom(left, right) => self.distinct(left, right, true, at),
            Expr::IsNotDistinctFrom(left, right) => self.distinct(left, right, false, at),
            Expr::Between { expr, negated, low, high } => {
                self.between(expr, *negated, low, high, at)
            }
            Expr::In { expr, target: InTarget::List(list), negated, .. } => {
                self.is_in(expr, list, *negated, at)
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(expr, pattern, escape_char.as_deref(), (*negated, false), at)
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.like(expr, pattern, escape_char.as_deref(), (*negated, true), at)
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref(), at)
            }
            Expr::Cast { kind, expr, data_type, format: None, .. } => {
                let typed = self.compile(expr)?;
                self.cast(typed, data_type, !kind_fails(kind))
            }
            other => self.called(other, at),
        }
    }

    fn column(&mut self, name: &str, is_quoted: bool, at: usize) -> Compiled {
        let (slot, kind) = self.scope.find(name, is_quoted, at)?;
        Ok(Typed { node: Node::Column { slot }, kind, at })
    }

    fn unary(&mut self, op: &UnaryOperator, expr: &Expr, at: usize) -> Compiled {
        let typed = self.compile(expr)?;
        match op {
            UnaryOperator::Not => {
                let typed = self.coerce(typed, Type::Boolean, "of NOT")?;
                Ok(Typed { node: Node::Not(Box::new(typed.node)), kind: Type::Boolean, at })
            }
            UnaryOperator::Plus => self.number(typed, "of +"),
            UnaryOperator::Minus => {
                let Typed { node, kind, .. } = self.number(typed, "of -")?;
                let zero = Node::Literal(if kind == Type::Integer {
                    Cell::Integer(0)
                } else {
                    Cell::Decimal(Decimal::default())
                });
                Ok(Typed {
                    node: Node::arithmetic(Arithmetic::Subtract, kind, zero, node),
                    kind,
                    at,
                })
            }
            other => Err(ExprError::new(
                at,
                format!("there is no operator {other} before a value: expected - or NOT"),
            )),
        }
    }

    fn binary(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr, at: usize) -> Compiled {
        let (left, right) = (self.compile(left)?, self.compile(right)?);
        match op {
            BinaryOperator::And | BinaryOperator::Or => {
                let left = self.coerce(left, Type::Boolean, "left of AND or OR")?;
                let right = self.coerce(right, Type::Boolean, "right of AND or OR")?;
                let pair = Box::new((left.node, right.node));
                let node =
                    if *op == BinaryOperator::And { Node::And(pair) } else { Node::Or(pair) };
                Ok(Typed { node, kind: Type::Boolean, at })
            }
            BinaryOperator::StringConcat => {
                let pair = [left, right].map(|typed| self.as_text(typed));
                let [left, right] = pair;
                Ok(Typed {
                    node: Node::Join(Box::new((left?.node, right?.node))),
                    kind: Type::Text,
                    at,
                })
            }
            _ => match (comparison(op), arithmetic(op)) {
                (Some(comparison), _) => self.compare(comparison, left, right, at),
                (_, Some(arithmetic)) => self.calculate(arithmetic, left, right, at),
                _ => Err(ExprError::new(
                    at,
                    format!("there is no operator {op}: expected one of {OPERATORS}"),
                )),
            },
        }
    }

    /// A comparison of two values that can be converted to one type.
    pub(crate) fn compare(
        &mut self,
        comparison: Comparison,
        left: Typed,
        right: Typed,
        at: usize,
    ) -> Compiled {
        let (left, right) = self.alike(left, right)?;
        let node = Node::Compare(comparison, Box::new((left.node, right.node)));
        Ok(Typed { node, kind: Type::Boolean, at })
    }

    fn calculate(&mut self, op: Arithmetic, left: Typed, right: Typed, at: usize) -> Compiled {
        // Days are counted in integers.
        match (op, left.kind, right.kind) {
            (Arithmetic::Subtract, Type::Date, Type::Date) => {
                return Ok(Typed {
                    node: Node::Days(Box::new((left.node, right.node))),
                    kind: Type::Integer,
                    at,
                });
            }
            (Arithmetic::Add | Arithmetic::Subtract, Type::Date, Type::Integer) => {
                let is_back = op == Arithmetic::Subtract;
                return Ok(Typed {
                    node: Node::Shift(Box::new((left.node, right.node)), is_back),
                    kind: Type::Date,
                    at,
                });
            }
            _ => {}
        }
        let (left, right) =
            (self.number(left, "in a calculation")?, self.number(right, "in a calculation")?);
        let is_decimal =
            op == Arithmetic::Divide || left.kind == Type::Decimal || right.kind == Type::Decimal;
        let kind = if is_decimal { Type::Decimal } else { Type::Integer };
        let (left, right) = (
            self.coerce(left, kind, "in a calculation")?,
            self.coerce(right, kind, "in a calculation")?,
        );
        Ok(Typed { node: Node::arithmetic(op, kind, left.node, right.node), kind, at })
    }

    fn is_null(&mut self, expr: &Expr, is_negated: bool, at: usize) -> Compiled {
        let typed = self.compile(expr)?;
        Ok(Typed { node: Node::IsNull(Box::new(typed.node), is_negated), kind: Type::Boolean, at })
    }

    fn is(&mut self, expr: &Expr, value: Option<bool>, is_negated: bool, at: usize) -> Compiled {
        let typed = self.compile(expr)?;
        let typed = self.coerce(typed, Type::Boolean, "before IS")?;
        Ok(Typed {
            node: Node::Is(Box::new(typed.node), value, is_negated),
            kind: Type::Boolean,
            at,
        })
    }

    fn distinct(&mut self, left: &Expr, right: &Expr, is_distinct: bool, at: usize) -> Compiled {
        let (left, right) = (self.compile(left)?, self.compile(right)?);
        let (left, right) = self.alike(left, right)?;
        let node = Node::Distinct(Box::new((left.node, right.node)), is_distinct);
        Ok(Typed { node, kind: Type::Boolean, at })
    }

    /// `x BETWEEN a AND b` is `x >= a AND x <= b`.
    fn between(
        &mut self,
        expr: &Expr,
        is_negated: bool,
        low: &Expr,
        high: &Expr,
        at: usize,
    ) -> Compiled {
        let (first, low) = (self.compile(expr)?, self.compile(low)?);
        let above = self.compare(Comparison::GreaterOrEqual, first, low, at)?;
        let (second, high) = (self.compile(expr)?, self.compile(high)?);
        let below = self.compare(Comparison::LessOrEqual, second, high, at)?;
        let node = Node::And(Box::new((above.node, below.node)));
        let node = if is_negated { Node::Not(Box::new(node)) } else { node };
        Ok(Typed { node, kind: Type::Boolean, at })
    }

    fn is_in(&mut self, expr: &Expr, list: &[Expr], is_negated: bool, at: usize) -> Compiled {
        let mut value = self.compile(expr)?;
        let mut nodes = Vec::with_capacity(list.len());
        for expr in list {
            let item = self.compile(expr)?;
            let (left, item) = self.alike(value, item)?;
            value = left;
            nodes.push(item.node);
        }
        let node = Node::In(Box::new(value.node), nodes);
        let node = if is_negated { Node::Not(Box::new(node)) } else { node };
        Ok(Typed { node, kind: Type::Boolean, at })
    }

    fn like(
        &mut self,
        expr: &Expr,
        pattern: &Expr,
        escape: Option<&Expr>,
        (is_negated, is_any_case): (bool, bool),
        at: usize,
    ) -> Compiled {
        let typed = self.compile(expr)?;
        let typed = self.coerce(typed, Type::Text, "before LIKE")?;
        let pattern_at = self.place(pattern);
        let pattern = self.compile(pattern)?;
        let pattern = self.constant_text(&pattern, "the pattern of LIKE")?;
        let escape = match escape {
            None => None,
            Some(expr) => {
                let typed = self.compile(expr)?;
                let text = self.constant_text(&typed, "the character of ESCAPE")?;
                let mut chars = text.chars();
                let escape = chars.next().filter(|_| chars.next().is_none());
                Some(escape.ok_or_else(|| {
                    ExprError::new(typed.at, "expected one character after ESCAPE")
                })?)
            }
        };
        let like = Like::new(&pattern, escape, is_any_case)
            .map_err(|message| ExprError::new(pattern_at, message))?;
        let node = Node::Like(Box::new(typed.node), like);
        let node = if is_negated { Node::Not(Box::new(node)) } else { node };
        Ok(Typed { node, kind: Type::Boolean, at })
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        whens: &[CaseWhen],
        otherwise: Option<&Expr>,
        at: usize,
    ) -> Compiled {
        let mut conditions = Vec::with_capacity(whens.len());
        let mut results = Vec::with_capacity(whens.len() + 1);
        for CaseWhen { condition, result } in whens {
            let tested = self.compile(condition)?;
            conditions.push(match operand {
                Some(operand) => {
                    let operand = self.compile(operand)?;
                    self.compare(Comparison::Equal, operand, tested, at)?.node
                }
                None => self.coerce(tested, Type::Boolean, "after WHEN")?.node,
            });
            results.push(self.compile(result)?);
        }
        results.push(match otherwise {
            Some(expr) => self.compile(expr)?,
            None => Typed { node: Node::Literal(Cell::Null), kind: Type::Null, at },
        });
        let (mut results, kind) = self.unify(results)?;
        let otherwise = results.pop().unwrap_or(Node::Literal(Cell::Null));
        let branches = conditions.into_iter().zip(results).collect();
        Ok(Typed { node: Node::Case(branches, Box::new(otherwise)), kind, at })
    }

    /// Converts two values to one type.
    pub(crate) fn alike(&mut self, left: Typed, right: Typed) -> Result<(Typed, Typed), ExprError> {
        let kind = self.common(&left, &right)?;
        // Integers and decimals are compared without conversion.
        if left.kind.is_number() && right.kind.is_number() {
            return Ok((left, right));
        }
        Ok((
            self.coerce(left, kind, "of a comparison")?,
            self.coerce(right, kind, "of a comparison")?,
        ))
    }

    /// Converts values to one type, for the branches of a CASE and similar.
    pub(crate) fn unify(&mut self, typed: Vec<Typed>) -> Result<(Vec<Node>, Type), ExprError> {
        let mut kind = Type::Null;
        for (index, other) in typed.iter().enumerate() {
            let so_far = Typed {
                node: Node::Literal(Cell::Null),
                kind,
                at: typed[index.saturating_sub(1)].at,
            };
            kind = match (kind, other.kind) {
                (Type::Untyped | Type::Null, Type::Untyped) => Type::Untyped,
                _ => self.common(&so_far, other)?,
            };
        }
        if kind == Type::Untyped {
            kind = Type::Text;
        }
        let nodes =
            typed.into_iter().map(|typed| Ok(self.coerce(typed, kind, "beside the others")?.node));
        Ok((nodes.collect::<Result<_, ExprError>>()?, kind))
    }

    /// The type to which both can be converted.
    fn common(&self, left: &Typed, right: &Typed) -> Result<Type, ExprError> {
        let is_written =
            |typed: &Typed| typed.kind == Type::Text && matches!(typed.node, Node::Literal(_));
        Ok(match (left.kind, right.kind) {
            (left, right) if left == right && left != Type::Untyped => left,
            (Type::Null, other) | (other, Type::Null) => other,
            (Type::Untyped, Type::Untyped) => {
                let message = "neither side has a type: give one in the source's columns = {…}, or write CAST(… AS …)";
                return Err(ExprError::new(left.at, message));
            }
            (Type::Untyped, other) | (other, Type::Untyped) => other,
            (Type::Integer, Type::Decimal) | (Type::Decimal, Type::Integer) => Type::Decimal,
            (Type::Date, Type::Timestamp) | (Type::Timestamp, Type::Date) => Type::Timestamp,
            // A text literal is read as the type that it is compared with.
            (_, other) if is_written(left) => other,
            (other, _) if is_written(right) => other,
            (found, expected) => {
                let message = format!(
                    "{expected} and {found} are not alike: write CAST(… AS {found}) or CAST(… AS {expected})"
                );
                return Err(ExprError::new(right.at, message));
            }
        })
    }

    /// Converts a value to a type, if that loses nothing.
    pub(crate) fn coerce(&mut self, typed: Typed, kind: Type, place: &str) -> Compiled {
        let Typed { node, kind: found, at } = typed;
        if found == kind {
            return Ok(Typed { node, kind, at });
        }
        let node = match (node, found, kind) {
            (Node::Column { slot }, Type::Untyped, Type::Text) => Node::Column { slot },
            (Node::Column { slot }, Type::Untyped, kind) => {
                Node::Read { slot, format: Box::new(self.format(kind)) }
            }
            (node, Type::Untyped, kind) => {
                Node::ReadText(Box::new(node), Box::new(self.format(kind)))
            }
            (node, Type::Null, _) => node,
            (Node::Literal(Cell::Text(text)), Type::Text, kind) => {
                Node::Literal(self.written(&text, kind, at)?)
            }
            (node, Type::Integer, Type::Decimal) => Node::ToDecimal(Box::new(node)),
            (node, Type::Date, Type::Timestamp) => {
                Node::Midnight(Box::new(node), time::Zone::of(self.scope.zone()))
            }
            (node, found, kind) => {
                let why = self.why_text(&node);
                let message = format!("expected {kind} {place}, found {found}{why}");
                return Err(ExprError::new(at, message));
            }
        };
        fold(Typed { node, kind, at })
    }

    /// A number of any type.
    pub(crate) fn number(&mut self, typed: Typed, place: &str) -> Compiled {
        match typed.kind {
            Type::Integer | Type::Decimal => Ok(typed),
            Type::Null | Type::Untyped => self.coerce(typed, Type::Decimal, place),
            found => {
                let why = self.why_text(&typed.node);
                let message = format!("expected a number {place}, found {found}{why}");
                Err(ExprError::new(typed.at, message))
            }
        }
    }

    /// Why a column is text, if that was inferred.
    fn why_text(&self, node: &Node) -> String {
        match node {
            Node::Column { slot } => self.scope.why_text(*slot),
            _ => String::new(),
        }
    }

    /// A text literal as a value of another type.
    fn written(&self, text: &str, kind: Type, at: usize) -> Result<Cell<'static>, ExprError> {
        let format = self.format(kind);
        let read = read::read(Cow::Borrowed(text), &format)
            .map_err(|error| ExprError::new(at, error.to_string()))?;
        Ok(read.into_owned())
    }

    /// The default format of values of a type: times without an offset are in the zone.
    pub(crate) fn format(&self, kind: Type) -> Format {
        let times = TimeParser::new().local(
            self.scope.zone(),
            AmbiguousTime::Earlier,
            AmbiguousTime::Later,
        );
        Format::new(kind, times)
    }
}

/// Evaluates an expression that depends on no column. If it fails, it is wrong for every row.
pub(crate) fn fold(typed: Typed) -> Compiled {
    let Typed { node, kind, at } = typed;
    if matches!(node, Node::Literal(_)) || !node.is_constant() {
        return Ok(Typed { node, kind, at });
    }
    let none = super::Row { cells: &[] };
    let found =
        node.eval(none).map_err(|error| ExprError::new(at, error.to_string()))?.into_owned();
    Ok(Typed { node: Node::Literal(found), kind, at })
}

fn kind_fails(kind: &sqlparser::ast::CastKind) -> bool {
    use sqlparser::ast::CastKind;
    matches!(kind, CastKind::Cast | CastKind::DoubleColon)
}

fn literal(value: &ValueWithSpan, at: usize) -> Compiled {
    let (cell, kind) = match &value.value {
        Literal::Null => (Cell::Null, Type::Null),
        Literal::Boolean(is_so) => (Cell::Boolean(*is_so), Type::Boolean),
        Literal::Number(digits, _) => {
            let number = match read::integer(digits) {
                Ok(number) => Ok((Cell::Integer(number), Type::Integer)),
                Err(_) => Decimal::parse(digits.as_bytes())
                    .map(|number| (Cell::Decimal(number), Type::Decimal)),
            };
            number.map_err(|error| ExprError::new(at, format!("'{digits}': {error}")))?
        }
        _ => return Ok(Typed { node: text_node(value, at)?, kind: Type::Text, at }),
    };
    Ok(Typed { node: Node::Literal(cell), kind, at })
}

fn text_node(value: &ValueWithSpan, at: usize) -> Result<Node, ExprError> {
    match &value.value {
        Literal::SingleQuotedString(text) | Literal::EscapedStringLiteral(text) => {
            Ok(Node::Literal(Cell::Text(Cow::Owned(text.clone()))))
        }
        other => Err(ExprError::new(
            at,
            format!("expected a number, a text in '…', TRUE, FALSE or NULL, found {other}"),
        )),
    }
}

/// Operators between two values.
const OPERATORS: &str = "+ - * / % || = <> < <= > >= AND OR";

fn comparison(op: &BinaryOperator) -> Option<Comparison> {
    Some(match op {
        BinaryOperator::Eq => Comparison::Equal,
        BinaryOperator::NotEq => Comparison::NotEqual,
        BinaryOperator::Lt => Comparison::Less,
        BinaryOperator::LtEq => Comparison::LessOrEqual,
        BinaryOperator::Gt => Comparison::Greater,
        BinaryOperator::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn arithmetic(op: &BinaryOperator) -> Option<Arithmetic> {
    Some(match op {
        BinaryOperator::Plus => Arithmetic::Add,
        BinaryOperator::Minus => Arithmetic::Subtract,
        BinaryOperator::Multiply => Arithmetic::Multiply,
        BinaryOperator::Divide => Arithmetic::Divide,
        BinaryOperator::Modulo => Arithmetic::Modulo,
        _ => return None,
    })
}
