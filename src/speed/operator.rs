//! The operator that maintains the speed view and passes closed days to the seal.

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::frontier::MutableAntichain;
use timely::progress::operate::FrontierInterest;
use timely::scheduling::Activator;

use super::combine::Counts;
use super::exchange::{Addressed, addressed, to_each, to_owner};
use super::report::SealReport;
use super::seal::Seal;
use super::state::SharedSpeed;
use crate::aggregate::Aggregate;
use crate::archive::Archive;
use crate::key::Key;
use crate::log::LogHandle;
use crate::moment::Moment;
use crate::table::TableRow;

/// Maintains the speed view on this worker, and seals closed days into `archive`.
///
/// Returns a stream without records. Its frontier says up to which moment the state is complete.
pub(crate) fn speed_view<'scope, K: Key, A: Aggregate>(
    rows: StreamVec<'scope, Moment, TableRow<K, A>>,
    counts: StreamVec<'scope, Moment, Addressed<Counts>>,
    state: &SharedSpeed<K, A>,
    archive: &Archive,
    log: Option<LogHandle>,
) -> StreamVec<'scope, Moment, ()> {
    let scope = rows.scope();
    let (worker, peers) = (scope.index(), scope.peers());
    let name = state.borrow().view.name().to_owned();
    let mut builder = OperatorBuilder::new(format!("Speed view {name}"), scope);
    let mut rows = builder.new_input(rows, to_owner());
    let mut counts = builder.new_input(counts, addressed());
    let (_, progress) = builder.new_output();
    let (reports, report_stream) = builder.new_output();
    let mut reports =
        OutputBuilder::<_, CapacityContainerBuilder<Vec<Addressed<SealReport>>>>::from(reports);

    let address = builder.operator_info().address;
    let activator = scope.activator_for(std::rc::Rc::clone(&address));
    state.borrow_mut().sealing = Some(activator.clone());
    let wake = scope.worker().sync_activator_for(address.to_vec());
    let mut seal = Seal::new(worker, state, archive, log, wake);
    let shared = std::rc::Rc::clone(state);
    builder.build(move |mut capabilities| {
        // Reports carry no time: one capability is held until there is nothing left to seal.
        let mut reporting = capabilities.pop();
        capabilities.clear();
        move |frontiers| {
            rows.for_each(|capability, data| {
                if let Some(moment) = capability.least() {
                    shared.borrow_mut().push(*moment, std::mem::take(data));
                }
            });
            counts.for_each(|capability, data| {
                if let Some(moment) = capability.least() {
                    data.drain(..).for_each(|(_, c)| shared.borrow_mut().push_counts(*moment, c));
                }
            });
            let frontier = least(&frontiers[0]);
            shared.borrow_mut().fold(frontier);
            let mut reports = reports.activate();
            if let Some(capability) = &reporting
                && let Some(report) = seal.step(frontier)
            {
                reports.session(capability).give_iterator(to_each(peers, report));
            }
            if reporting.is_some() && seal.is_done(frontier) {
                let mut state = shared.borrow_mut();
                state.finished = !state.abandoned;
                reporting = None;
            }
        }
    });
    collect_reports(report_stream, state, activator);
    progress
}

/// Records what all workers have prepared, and wakes the speed view to continue.
fn collect_reports<K: Key, A: Aggregate>(
    reports: StreamVec<'_, Moment, Addressed<SealReport>>,
    state: &SharedSpeed<K, A>,
    speed_view: Activator,
) {
    let state = std::rc::Rc::clone(state);
    let mut builder = OperatorBuilder::new("Prepared".to_owned(), reports.scope());
    let mut reports = builder.new_input(reports, addressed());
    // Reports carry no time, so the frontier is not needed; in a sink it would cause a wake-up at each tick.
    builder.set_notify_for(0, FrontierInterest::Never);
    builder.build(move |_capabilities| {
        move |_frontiers| {
            reports.for_each(|_, data| {
                for (_, report) in data.drain(..) {
                    let slot = &mut state.borrow_mut().prepared[report.worker as usize];
                    slot.add(report);
                }
                speed_view.activate();
            });
        }
    });
}

fn least(frontier: &MutableAntichain<Moment>) -> Option<Moment> {
    frontier.frontier().first().copied()
}
