//! Implements `plugfit.metric/1`.

use super::{
    borrowed::with_inputs,
    component::{
        component, config, create, handle, impl_component, instance_info, level, release, Component, Create, Probe,
    },
};
use crate::{
    catch_panics::{catch_drop_panics, catch_panics},
    loss::{ElementwiseLoss, RowLoss},
    metric::{
        loss_values::{ElementwiseLossValues, RowLossValues},
        mean::{Mean, MeanMetricValues},
        parts, read_state,
        sums::BySums,
        MeanMetric, Metric, Outcome, SumMetric,
    },
    Config, Error, Host, Inputs, Result,
};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{RResult, RSlice, RString, RVec},
    Handle,
};
use std::any::Any;

/// A type-erased metric of any form, with a type-erased state.
pub trait AnyMetric: Component {
    #[doc(hidden)]
    fn init(&self) -> Box<dyn Any + Send>;
    #[doc(hidden)]
    fn clone_state(&self, state: &dyn Any) -> Result<Box<dyn Any + Send>>;
    #[doc(hidden)]
    fn update(&self, state: &mut dyn Any, inputs: &Inputs<'_>, host: &Host<'_>) -> Result<()>;
    #[doc(hidden)]
    fn merge(&self, state: &mut dyn Any, other: &dyn Any) -> Result<()>;
    #[doc(hidden)]
    fn result(&self, state: &dyn Any) -> Result<Outcome>;
    #[doc(hidden)]
    fn save(&self, state: &dyn Any) -> Result<(u32, Vec<u8>)>;
    #[doc(hidden)]
    fn load(&self, version: u32, bytes: &[u8]) -> Result<Box<dyn Any + Send>>;
}

/// A metric, and whether threads may share its large batches.
struct ByState<T>(T, bool);

/// Downcasts a state.
fn downcast<T: 'static>(state: &dyn Any) -> Result<&T> {
    state.downcast_ref().ok_or_else(|| Error::state("this state belongs to another metric"))
}

/// Downcasts a state for changing it.
fn downcast_mut<T: 'static>(state: &mut dyn Any) -> Result<&mut T> {
    state.downcast_mut().ok_or_else(|| Error::state("this state belongs to another metric"))
}

impl_component!(ByState<T: Metric>, metric => metric.info(), formula metric.formula().map(|formula| formula.0));

impl<T: Metric> AnyMetric for ByState<T> {
    fn init(&self) -> Box<dyn Any + Send> {
        Box::new(self.0.init())
    }
    fn clone_state(&self, state: &dyn Any) -> Result<Box<dyn Any + Send>> {
        Ok(Box::new(downcast::<T::State>(state)?.clone()))
    }
    fn update(&self, state: &mut dyn Any, inputs: &Inputs<'_>, host: &Host<'_>) -> Result<()> {
        let state = downcast_mut(state)?;
        match self.1 {
            true => parts::update(&self.0, state, inputs, host),
            false => self.0.update(state, inputs),
        }
    }
    fn merge(&self, state: &mut dyn Any, other: &dyn Any) -> Result<()> {
        self.0.merge(downcast_mut(state)?, downcast(other)?)
    }
    fn result(&self, state: &dyn Any) -> Result<Outcome> {
        self.0.result(downcast(state)?)
    }
    fn save(&self, state: &dyn Any) -> Result<(u32, Vec<u8>)> {
        let bytes = postcard::to_stdvec(downcast::<T::State>(state)?)
            .map_err(|error| Error::state(format!("the state can't be saved: {error}")))?;
        Ok((T::STATE_VERSION, bytes))
    }
    fn load(&self, version: u32, bytes: &[u8]) -> Result<Box<dyn Any + Send>> {
        if version != T::STATE_VERSION {
            return Ok(Box::new(self.0.load_older(version, bytes)?));
        }
        Ok(Box::new(read_state::<T::State>(bytes)?))
    }
}

level! {
    /// Creates a metric with its own state from a probe; tried first.
    MetricByState for &&&&Probe<T> where T: Metric;
    fn create_metric(config, host) -> AnyMetric {
        let mut metric = T::from_json(config)?;
        metric.prepare(host)?;
        Ok(by_state(metric))
    }
}

level! {
    /// Creates a metric of sums from a probe; tried second.
    MetricBySums<const K> for &&&Probe<T> where T: SumMetric<K>;
    fn create_metric(config, _host) -> AnyMetric { Ok(by_sums(T::from_json(config)?)) }
}

level! {
    /// Creates the mean of a function of rows from a probe; tried third.
    MetricByMean for &&Probe<T> where T: MeanMetric;
    fn create_metric(config, _host) -> AnyMetric { Ok(by_mean(T::from_json(config)?)) }
}

level! {
    /// Creates the mean of an elementwise loss from a probe; tried fourth.
    MetricByElement for &Probe<T> where T: ElementwiseLoss;
    fn create_metric(config, _host) -> AnyMetric { Ok(by_state(Mean::<T, ElementwiseLossValues>::from_json(config)?)) }
}

level! {
    /// Creates the mean of a row loss from a probe; tried last.
    MetricByRow for Probe<T> where T: RowLoss;
    fn create_metric(config, _host) -> AnyMetric { Ok(by_state(Mean::<T, RowLossValues>::from_json(config)?)) }
}

pub(crate) fn by_state(metric: impl Metric) -> Box<dyn AnyMetric> {
    Box::new(ByState(metric, true))
}

/// A metric whose batches stay whole, because it may call code that isn't this plug-in's.
pub(crate) fn by_whole_batches(metric: impl Metric) -> Box<dyn AnyMetric> {
    Box::new(ByState(metric, false))
}

pub(crate) fn by_mean(metric: impl MeanMetric) -> Box<dyn AnyMetric> {
    by_state(Mean::<_, MeanMetricValues>::new(metric))
}

pub(crate) fn by_sums<const K: usize>(metric: impl SumMetric<K>) -> Box<dyn AnyMetric> {
    by_state(BySums::<_, K>::new(metric))
}

/// The target of a state handle.
struct State {
    content: Box<dyn Any + Send>,
    /// Whether it contains no batch yet; it is then re-initialised after an error.
    new: bool,
    /// Whether a panic may have left it half written.
    poisoned: bool,
}

impl State {
    fn new(metric: &dyn AnyMetric) -> Self {
        State { content: metric.init(), new: true, poisoned: false }
    }

    /// Returns the content.
    ///
    /// # Errors
    /// Returns an error if the state is poisoned.
    fn checked(&self) -> Result<&dyn Any> {
        if self.poisoned {
            Err(Error::poisoned())
        } else {
            Ok(&*self.content)
        }
    }

    /// Changes the content by `f`. If `f` panics, the state stays poisoned. If `f` fails on the first batch, the state
    /// is re-initialised, so that the next batch may have another width.
    fn modify(&mut self, metric: &dyn AnyMetric, f: impl FnOnce(&mut dyn Any) -> Result<()>) -> Result<()> {
        self.checked()?;
        self.poisoned = true;
        let result = f(&mut *self.content);
        if result.is_err() && self.new {
            self.content = metric.init();
        }
        self.poisoned = false;
        result
    }
}

/// Returns the state of a handle.
///
/// # Safety
/// `new_state`, `clone_state` or `load` must have returned the handle, and nothing may change or release the state
/// during `'a`.
unsafe fn state_ref<'a>(handle: Handle) -> &'a State {
    // SAFETY: the caller upholds the contract of this function.
    unsafe { &*handle.pointer.cast() }
}

/// Returns the state of a handle for changing it.
///
/// # Safety
/// As [`state_ref`], and nothing else may access the state during `'a`.
unsafe fn state_mut<'a>(handle: Handle) -> &'a mut State {
    // SAFETY: the caller upholds the contract of this function.
    unsafe { &mut *handle.pointer.cast() }
}

/// Returns the function table of a plug-in's metrics.
pub(crate) const fn table<P: Create<dyn AnyMetric>>() -> abi::MetricV1 {
    abi::MetricV1 {
        create: create::<P, dyn AnyMetric>,
        release: release::<dyn AnyMetric>,
        config: config::<dyn AnyMetric>,
        instance_info: instance_info::<dyn AnyMetric>,
        new_state,
        release_state,
        reset,
        clone_state,
        update,
        merge,
        result,
        save,
        load,
    }
}

// In the functions below, the host guarantees that handles belong to this table and that only one thread uses a state
// at a time.

unsafe extern "C" fn new_state(metric: Handle, _: &abi::Host) -> RResult<Handle, abi::Error> {
    // SAFETY: see above.
    catch_panics(|| Ok(handle(State::new(unsafe { component(metric) }))))
}

unsafe extern "C" fn release_state(handle: Handle) {
    // SAFETY: see above; the host releases a state once.
    catch_drop_panics(|| drop(unsafe { Box::from_raw(handle.pointer.cast::<State>()) }));
}

unsafe extern "C" fn reset(metric: Handle, _: &abi::Host, target: Handle) -> RResult<(), abi::Error> {
    catch_panics(|| {
        // SAFETY: see above.
        let (metric, state) = unsafe { (component::<dyn AnyMetric>(metric), state_mut(target)) };
        let previous = std::mem::replace(state, State::new(metric));
        drop(previous);
        Ok(())
    })
}

unsafe extern "C" fn clone_state(metric: Handle, target: Handle) -> RResult<Handle, abi::Error> {
    catch_panics(|| {
        // SAFETY: see above.
        let (metric, state) = unsafe { (component::<dyn AnyMetric>(metric), state_ref(target)) };
        let content = metric.clone_state(state.checked()?)?;
        Ok(handle(State { content, new: state.new, poisoned: false }))
    })
}

unsafe extern "C" fn update(
    metric: Handle,
    host: &abi::Host,
    target: Handle,
    inputs: &abi::Inputs<'_>,
) -> RResult<(), abi::Error> {
    catch_panics(|| {
        // SAFETY: see above.
        let (metric, state) = unsafe { (component::<dyn AnyMetric>(metric), state_mut(target)) };
        let host = Host::new(host);
        // SAFETY: the host guarantees that the inputs are valid during the call.
        unsafe { with_inputs(inputs, |inputs| state.modify(metric, |state| metric.update(state, inputs, &host))) }?;
        state.new = false;
        Ok(())
    })
}

unsafe extern "C" fn merge(metric: Handle, _: &abi::Host, target: Handle, other: Handle) -> RResult<(), abi::Error> {
    catch_panics(|| {
        if target == other {
            return Err(Error::state("a state can't be merged into itself"));
        }
        // SAFETY: see above; the two handles differ.
        let (metric, target, other) =
            unsafe { (component::<dyn AnyMetric>(metric), state_mut(target), state_ref(other)) };
        let content = other.checked()?;
        target.modify(metric, |target| metric.merge(target, content))?;
        target.new &= other.new;
        Ok(())
    })
}

unsafe extern "C" fn result(metric: Handle, _: &abi::Host, target: Handle) -> RResult<abi::MetricResult, abi::Error> {
    catch_panics(|| {
        // SAFETY: see above.
        let (metric, state) = unsafe { (component::<dyn AnyMetric>(metric), state_ref(target)) };
        Ok(outcome(metric.result(state.checked()?)?))
    })
}

unsafe extern "C" fn save(metric: Handle, target: Handle) -> RResult<abi::SavedState, abi::Error> {
    catch_panics(|| {
        // SAFETY: see above.
        let (metric, state) = unsafe { (component::<dyn AnyMetric>(metric), state_ref(target)) };
        let (version, bytes) = metric.save(state.checked()?)?;
        Ok(abi::SavedState { version, bytes: bytes.into() })
    })
}

unsafe extern "C" fn load(
    metric: Handle,
    _: &abi::Host,
    version: u32,
    bytes: RSlice<'_, u8>,
) -> RResult<Handle, abi::Error> {
    catch_panics(|| {
        // SAFETY: see above.
        let metric = unsafe { component::<dyn AnyMetric>(metric) };
        let content = metric.load(version, bytes.as_slice())?;
        let new = metric.save(&*metric.init()).is_ok_and(|initial| initial == (version, bytes.to_vec()));
        Ok(handle(State { content, new, poisoned: false }))
    })
}

/// Converts a result to the ABI's form.
fn outcome(outcome: Outcome) -> abi::MetricResult {
    let (kind, values, shape, names) = match outcome {
        Outcome::Undefined => (abi::RESULT_UNDEFINED, RVec::new(), RVec::new(), RVec::new()),
        Outcome::Scalar(value) => (abi::RESULT_SCALAR, vec![value].into(), RVec::new(), RVec::new()),
        Outcome::Array { shape, values } => {
            (abi::RESULT_ARRAY, values.into(), shape.into_iter().map(|n| n as i64).collect(), RVec::new())
        }
        Outcome::Named(pairs) => {
            let (names, values): (RVec<RString>, RVec<f64>) =
                pairs.into_iter().map(|(name, value)| (RString::from(name), value)).unzip();
            (abi::RESULT_NAMED, values, RVec::new(), names)
        }
    };
    abi::MetricResult { kind, values, shape, names }
}
