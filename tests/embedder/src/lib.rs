//! Parts of an embedder: a key, an aggregate, and the events from which they are made.

use dayfold::aggregate::{Abelian, Aggregate, IsZero, Monoid, Multiply, Semigroup};
use dayfold::schema::{AggregateShape, Kind, Measure, Presented, Value};
use serde::{Deserialize, Serialize};

/// A key by derive.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, dayfold::Key,
)]
pub struct Route {
    /// From.
    pub origin: String,
    /// To.
    pub destination: String,
}

/// An aggregate that supports retractions: passengers and bags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Load {
    /// How many passengers.
    pub passengers: i64,
    /// How many bags.
    pub bags: i64,
}

impl IsZero for Load {
    fn is_zero(&self) -> bool {
        *self == Load::zero()
    }
}

impl Semigroup for Load {
    fn plus_equals(&mut self, other: &Load) {
        self.passengers += other.passengers;
        self.bags += other.bags;
    }
}

impl Monoid for Load {
    fn zero() -> Load {
        Load { passengers: 0, bags: 0 }
    }
}

impl Abelian for Load {
    fn negate(&mut self) {
        *self = self.multiply(&-1);
    }
}

impl Multiply<isize> for Load {
    type Output = Load;
    fn multiply(self, times: &isize) -> Load {
        let times = *times as i64;
        Load { passengers: self.passengers * times, bags: self.bags * times }
    }
}

impl Aggregate for Load {
    fn id() -> String {
        "load".to_owned()
    }

    fn shape() -> AggregateShape {
        let measure = |name| Measure::new(name, Kind::Integer).additive();
        AggregateShape::of("load", [measure("passengers"), measure("bags")])
    }

    fn present(state: Option<&Load>, out: &mut Presented<'_>) {
        out.put(|| Value::or_null(state.map(|load| Value::Integer(load.passengers.into()))));
        out.put(|| Value::or_null(state.map(|load| Value::Integer(load.bags.into()))));
    }
}
