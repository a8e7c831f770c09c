//! Components that each violate a law with their default settings, and correct components for comparison.
#![warn(missing_docs)]

mod crashes;
mod custom_inputs;
mod losses;
mod metrics;
mod optimizers;
mod panics;
mod schedules;
mod side_effects;

use crashes::*;
use custom_inputs::*;
use losses::*;
use metrics::*;
use optimizers::*;
use panics::*;
use plugfit_api::prelude::*;
use schedules::*;
use side_effects::*;

export_plugin! {
    losses: [
        GoodLoss, WrongSign, WrongScale, WritesNoGradient, DependentRows, NanValues, MoreRows, NegativeShape, AnyShapes,
        Unweighted, SharedSetting, SharedScratch, KeepsASettingToItself, TakesAnything,
        LossPanicsInInfo, LossPanicsInPrepare, LossPanicsInOutputShape, LossPanicsInCall, LossPanicsInDrop,
        OverflowsItsStack, CrashesInDrop, WritesPredictions, WritesBehindValues, WritesBeforeSlopes, GoodMargins, MixesMargins,
        OtherInDouble, GoodGroups, GoodLevel, GoodWide, GoodBoth,
    ],
    metrics: [
        GoodMetric, MergesToTheMiddle, ForgetsInSaving, KeepsThroughReset, NanResult, WrongShape, Grows, CountsCalls,
        WrongDirection, CountsWeightless, Allocates, KeepsAPart,
        MetricPanicsInInfo, MetricPanicsInPrepare, MetricPanicsInInit, MetricPanicsInUpdate, MetricPanicsInMerge,
        MetricPanicsInResult, MetricPanicsInDrop, MetricPanicsInDropOfState,
        CrashesInUpdate, Aborts, Exits, Forges, ReplacesItsRecord, LoopsForEver, AsksForTooMuch, AsksForMoreAndMore, Prints,
        PanicsAtTheEndOfAThread, LeavesAProcess, LeavesADaemon,
        WritesScores, ReadsBehindScores, PeeksBehindScores, FlushesToZero, RoundsUp, InstallsAHandler, ChangesTheDirectory,
        ChangesTheUmask, ClosesDescriptors, LeaksDescriptors, GoodPairs, MergesPairsWrongly, GoodTwoColumns,
        GoodGroupMean, RefusesToMerge, GoodIds, GoodBoth, LosesNan, WeighsNan,
    ],
    optimizers: [
        GoodOptimizer, Ascends, HidesMomentum, MovesWithoutGradient, UnusedSlot, SpreadsNan, NamesASlotTwice,
        OptimizerPanicsInPrepare, OptimizerPanicsInSlots, OptimizerPanicsInFillSlot, OptimizerPanicsInUpdate,
        OptimizerPanicsInFinalize, OptimizerPanicsInDrop, WritesGradients, GoodClimber,
        WritesBehindSlots, ChangesTheUmaskAtLast,
    ],
    schedules: [
        GoodSchedule, NanLate, NegativeLate, SchedulePanics, SchedulePanicsLate,
    ],
}
