//! Reads states by their ids: measures from the stored form of a state, without its type.

use super::id::{DYNAMIC, TypeId};
use super::{AggregateShape, Presented};
use crate::aggregate::{
    Aggregate, Count, Decimal, DecimalSum, Distinct, First, Last, Max, Mean, Min, Quantiles,
    Scalar, Sum,
};
use crate::codec;
use crate::dynamic::{MeasureKind, State};
use crate::time::Day;

/// Bytes that do not match the id.
#[derive(Debug)]
pub(super) struct NotAState;

type ReadFn = for<'a> fn(Option<&mut &'a [u8]>, &mut Presented<'a>) -> Result<(), NotAState>;

/// The structure of a stored state, as far as its id tells. Serde writes parts one after the other.
#[derive(Clone, Debug)]
pub(super) enum StateShape {
    One(ReadFn, AggregateShape),
    Parts(Vec<StateShape>),
    Maybe(Box<StateShape>),
    List(Box<StateShape>),
    /// The cells of a dynamic view.
    Dynamic(Vec<MeasureKind>),
}

impl StateShape {
    /// `None` if a part is not an aggregate of this crate.
    pub(super) fn of(id: &TypeId) -> Option<StateShape> {
        match (id.name.as_str(), id.parts.as_deref()) {
            ("tuple", Some(parts)) => {
                parts.iter().map(StateShape::of).collect::<Option<_>>().map(StateShape::Parts)
            }
            ("maybe", Some([some])) => Some(StateShape::Maybe(Box::new(StateShape::of(some)?))),
            ("list", Some([element])) => Some(StateShape::List(Box::new(StateShape::of(element)?))),
            (DYNAMIC, Some(parts)) => {
                let cells = parts.iter().map(MeasureKind::of_id).collect::<Option<_>>();
                cells.map(StateShape::Dynamic)
            }
            _ => single(&id.to_string()),
        }
    }

    /// The measures, from the types.
    pub(super) fn shape(&self) -> AggregateShape {
        match self {
            StateShape::One(_, shape) => shape.clone(),
            StateShape::Parts(parts) => AggregateShape::parts(parts.iter().map(StateShape::shape)),
            StateShape::Maybe(some) => some.shape().nullable(),
            StateShape::List(element) => AggregateShape::list(element.shape()),
            // The schema of the view tells which measures are made of the cells.
            StateShape::Dynamic(_) => AggregateShape::none(),
        }
    }

    /// Reads a state and shows it; without bytes, shows the values of no state.
    pub(super) fn read<'a>(
        &self,
        bytes: Option<&mut &'a [u8]>,
        out: &mut Presented<'a>,
    ) -> Result<(), NotAState> {
        match (self, bytes) {
            (StateShape::One(read, _), bytes) => read(bytes, out),
            (StateShape::Parts(parts), Some(bytes)) => {
                parts.iter().try_for_each(|part| part.read(Some(bytes), out))
            }
            (StateShape::Parts(parts), None) => {
                parts.iter().try_for_each(|part| part.read(None, out))
            }
            (StateShape::Maybe(some), Some(bytes)) => match take::<u8>(bytes)? {
                0 => some.read(None, out),
                1 => some.read(Some(bytes), out),
                _ => Err(NotAState),
            },
            (StateShape::Maybe(some), None) => some.read(None, out),
            (StateShape::List(element), bytes) => element.read_list(bytes, out),
            (StateShape::Dynamic(cells), bytes) => {
                let state = bytes.map(take::<State>).transpose()?;
                if state.as_ref().is_some_and(|state| !state.fits(cells)) {
                    return Err(NotAState);
                }
                State::present(state.as_ref(), out);
                Ok(())
            }
        }
    }

    fn read_list<'a>(
        &self,
        bytes: Option<&mut &'a [u8]>,
        out: &mut Presented<'a>,
    ) -> Result<(), NotAState> {
        let Some(bytes) = bytes else {
            return (0..out.list(None)).try_for_each(|_| self.read(None, out));
        };
        // Each element takes at least one byte, so a damaged length ends here.
        let has = usize::try_from(take::<u64>(bytes)?).map_err(|_| NotAState)?;
        if has > bytes.len() {
            return Err(NotAState);
        }
        let shown = out.list(Some(has));
        for at in 0..has.max(shown) {
            match at {
                _ if at >= has => self.read(None, out)?,
                _ if at >= shown => self.read(Some(bytes), &mut Presented::new(&[], Some(&[])))?,
                _ => self.read(Some(bytes), out)?,
            }
        }
        Ok(())
    }
}

fn take<T: serde::de::DeserializeOwned>(bytes: &mut &[u8]) -> Result<T, NotAState> {
    codec::take(bytes).map_err(|_| NotAState)
}

fn read<'a, A: Aggregate>(
    bytes: Option<&mut &'a [u8]>,
    out: &mut Presented<'a>,
) -> Result<(), NotAState> {
    let Some(bytes) = bytes else {
        A::present(None, out);
        return Ok(());
    };
    let before = *bytes;
    let state = take::<A>(bytes)?;
    out.set_stored(before.get(..before.len() - bytes.len()));
    A::present(Some(&state), out);
    out.set_stored(None);
    Ok(())
}

/// An aggregate of this crate that does not consist of others.
fn single(id: &str) -> Option<StateShape> {
    KNOWN.iter().find_map(|known| known(id))
}

/// The reader for an id, if it is the id of a known type.
type Known = fn(&str) -> Option<StateShape>;

const KNOWN: [Known; 21] = [
    one::<Count>,
    one::<Sum>,
    one::<DecimalSum>,
    one::<Mean>,
    one::<Distinct>,
    one::<Quantiles>,
    of_scalar::<Decimal>,
    of_scalar::<Day>,
    of_scalar::<String>,
    of_scalar::<Vec<u8>>,
    of_scalar::<bool>,
    of_scalar::<u8>,
    of_scalar::<u16>,
    of_scalar::<u32>,
    of_scalar::<u64>,
    of_scalar::<u128>,
    of_scalar::<i8>,
    of_scalar::<i16>,
    of_scalar::<i32>,
    of_scalar::<i64>,
    of_scalar::<i128>,
];

fn one<A: Aggregate>(id: &str) -> Option<StateShape> {
    (A::id() == id).then(|| StateShape::One(read::<A>, A::shape()))
}

fn of_scalar<T: Scalar>(id: &str) -> Option<StateShape> {
    let extreme = one::<Min<T>>(id).or_else(|| one::<Max<T>>(id));
    extreme.or_else(|| one::<First<T>>(id)).or_else(|| one::<Last<T>>(id))
}
