//! Implements `plugfit.metric/1`.

use super::{
    borrowed::with_inputs,
    catch_panics::{catch_panics, dropping},
    plugin::{component, Plugin, Probe},
};
use crate::{
    kernels::means,
    loss::{ElementwiseLoss, RowLoss},
    metric::{MeanMetric, Metric, MetricInfo, Outcome},
    Config, Error, Host, Inputs, Result,
};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{RResult, RSlice, RStr, RString, RVec},
    Handle,
};
use serde_json::{Map, Value};
use std::any::Any;

/// A type-erased metric of any form, with a type-erased state.
pub trait AnyMetric: Send + Sync {
    #[doc(hidden)]
    fn config(&self) -> Map<String, Value>;
    #[doc(hidden)]
    fn info(&self) -> MetricInfo;
    #[doc(hidden)]
    fn init(&self) -> Box<dyn Any + Send>;
    #[doc(hidden)]
    fn clone_state(&self, state: &dyn Any) -> Result<Box<dyn Any + Send>>;
    #[doc(hidden)]
    fn update(&self, state: &mut dyn Any, inputs: &Inputs<'_>) -> Result<()>;
    #[doc(hidden)]
    fn merge(&self, state: &mut dyn Any, other: &dyn Any) -> Result<()>;
    #[doc(hidden)]
    fn result(&self, state: &dyn Any) -> Result<Outcome>;
    #[doc(hidden)]
    fn save(&self, state: &dyn Any) -> Result<(u32, Vec<u8>)>;
    #[doc(hidden)]
    fn load(&self, version: u32, bytes: &[u8]) -> Result<Box<dyn Any + Send>>;
}

struct ByState<T>(T);

/// Downcasts a state.
fn downcast<T: 'static>(state: &dyn Any) -> Result<&T> {
    state.downcast_ref().ok_or_else(|| Error::state("this state belongs to another metric"))
}

/// Downcasts a state for changing it.
fn downcast_mut<T: 'static>(state: &mut dyn Any) -> Result<&mut T> {
    state.downcast_mut().ok_or_else(|| Error::state("this state belongs to another metric"))
}

impl<T: Metric> AnyMetric for ByState<T> {
    fn config(&self) -> Map<String, Value> {
        self.0.to_json()
    }
    fn info(&self) -> MetricInfo {
        self.0.info()
    }
    fn init(&self) -> Box<dyn Any + Send> {
        Box::new(self.0.init())
    }
    fn clone_state(&self, state: &dyn Any) -> Result<Box<dyn Any + Send>> {
        Ok(Box::new(downcast::<T::State>(state)?.clone()))
    }
    fn update(&self, state: &mut dyn Any, inputs: &Inputs<'_>) -> Result<()> {
        self.0.update(downcast_mut(state)?, inputs)
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
        match postcard::take_from_bytes::<T::State>(bytes) {
            Ok((state, [])) => Ok(Box::new(state)),
            Ok(_) => Err(Error::state("the saved state is longer than it should be")),
            Err(error) => Err(Error::state(format!("the saved state can't be read: {error}"))),
        }
    }
}

/// Creates a metric with its own state from a probe; tried first.
pub trait MetricByState {
    #[doc(hidden)]
    fn make_metric(&self, config: &Map<String, Value>, host: &Host<'_>) -> Result<Box<dyn AnyMetric>>;
}
impl<T: Metric> MetricByState for &&&&Probe<T> {
    fn make_metric(&self, config: &Map<String, Value>, host: &Host<'_>) -> Result<Box<dyn AnyMetric>> {
        let mut metric = T::from_json(config)?;
        metric.prepare(host)?;
        Ok(by_state(metric))
    }
}

/// Creates the mean of a function of rows from a probe; tried second.
pub trait MetricByMean {
    #[doc(hidden)]
    fn make_metric(&self, config: &Map<String, Value>, host: &Host<'_>) -> Result<Box<dyn AnyMetric>>;
}
impl<T: MeanMetric> MetricByMean for &&&Probe<T> {
    fn make_metric(&self, config: &Map<String, Value>, _: &Host<'_>) -> Result<Box<dyn AnyMetric>> {
        Ok(by_state(means::Mean::<means::OfRows<T>>::from_json(config)?))
    }
}

/// Creates the mean of an elementwise loss from a probe; tried third.
pub trait MetricByElement {
    #[doc(hidden)]
    fn make_metric(&self, config: &Map<String, Value>, host: &Host<'_>) -> Result<Box<dyn AnyMetric>>;
}
impl<T: ElementwiseLoss> MetricByElement for &&Probe<T> {
    fn make_metric(&self, config: &Map<String, Value>, _: &Host<'_>) -> Result<Box<dyn AnyMetric>> {
        Ok(by_state(means::Mean::<means::OfElements<T>>::from_json(config)?))
    }
}

/// Creates the mean of a row loss from a probe; tried last.
pub trait MetricByRow {
    #[doc(hidden)]
    fn make_metric(&self, config: &Map<String, Value>, host: &Host<'_>) -> Result<Box<dyn AnyMetric>>;
}
impl<T: RowLoss> MetricByRow for &Probe<T> {
    fn make_metric(&self, config: &Map<String, Value>, _: &Host<'_>) -> Result<Box<dyn AnyMetric>> {
        Ok(by_state(means::Mean::<means::OfWholeRows<T>>::from_json(config)?))
    }
}

pub(crate) fn by_state(metric: impl Metric) -> Object {
    Box::new(ByState(metric))
}

pub(crate) fn by_mean(metric: impl MeanMetric) -> Object {
    by_state(means::Mean::of_rows(metric))
}

pub(crate) type Object = Box<dyn AnyMetric>;

/// The target of a state handle.
struct State {
    content: Box<dyn Any + Send>,
    /// Whether it contains no batch yet; it is then re-initialised after an error.
    new: bool,
    /// Whether a panic may have left it half written.
    poisoned: bool,
}

impl State {
    fn new(metric: &Object) -> Self {
        State { content: metric.init(), new: true, poisoned: false }
    }

    fn handle(self) -> Handle {
        Handle { pointer: Box::into_raw(Box::new(self)).cast() }
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
    fn modify(&mut self, metric: &Object, f: impl FnOnce(&mut dyn Any) -> Result<()>) -> Result<()> {
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

/// Returns the metric of a handle.
///
/// # Safety
/// `create` must have returned the handle, and it must not be released during `'a`.
unsafe fn metric<'a>(handle: Handle) -> &'a Object {
    // SAFETY: the caller upholds the contract of this function.
    unsafe { &*handle.pointer.cast() }
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
pub(crate) const fn table<P: Plugin>() -> abi::MetricV1 {
    abi::MetricV1 {
        create: create::<P>,
        release,
        config,
        instance_info,
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

component! { create = Plugin::metric, release, config, instance_info: Object }

// In the functions below, the host guarantees that handles belong to this table and that only one thread uses a state
// at a time.

unsafe extern "C" fn new_state(handle: Handle, _: &abi::Host) -> RResult<Handle, abi::Error> {
    // SAFETY: see above.
    catch_panics(|| Ok(State::new(unsafe { metric(handle) }).handle()))
}

unsafe extern "C" fn release_state(handle: Handle) {
    // SAFETY: see above; the host releases a state once.
    dropping(|| drop(unsafe { Box::from_raw(handle.pointer.cast::<State>()) }));
}

unsafe extern "C" fn reset(handle: Handle, _: &abi::Host, target: Handle) -> RResult<(), abi::Error> {
    catch_panics(|| {
        // SAFETY: see above.
        let (metric, state) = unsafe { (metric(handle), state_mut(target)) };
        let previous = std::mem::replace(state, State::new(metric));
        drop(previous);
        Ok(())
    })
}

unsafe extern "C" fn clone_state(handle: Handle, target: Handle) -> RResult<Handle, abi::Error> {
    catch_panics(|| {
        // SAFETY: see above.
        let (metric, state) = unsafe { (metric(handle), state_ref(target)) };
        let content = metric.clone_state(state.checked()?)?;
        Ok(State { content, new: state.new, poisoned: false }.handle())
    })
}

unsafe extern "C" fn update(
    handle: Handle,
    _: &abi::Host,
    target: Handle,
    inputs: &abi::Inputs<'_>,
) -> RResult<(), abi::Error> {
    catch_panics(|| {
        // SAFETY: see above.
        let (metric, state) = unsafe { (metric(handle), state_mut(target)) };
        // SAFETY: the host guarantees that the inputs are valid during the call.
        unsafe { with_inputs(inputs, |inputs| state.modify(metric, |state| metric.update(state, inputs))) }?;
        state.new = false;
        Ok(())
    })
}

unsafe extern "C" fn merge(handle: Handle, _: &abi::Host, target: Handle, other: Handle) -> RResult<(), abi::Error> {
    catch_panics(|| {
        if target == other {
            return Err(Error::state("a state can't be merged into itself"));
        }
        // SAFETY: see above; the two handles differ.
        let (metric, target, other) = unsafe { (metric(handle), state_mut(target), state_ref(other)) };
        let content = other.checked()?;
        target.modify(metric, |target| metric.merge(target, content))?;
        target.new &= other.new;
        Ok(())
    })
}

unsafe extern "C" fn result(handle: Handle, _: &abi::Host, target: Handle) -> RResult<abi::MetricResult, abi::Error> {
    catch_panics(|| {
        // SAFETY: see above.
        let (metric, state) = unsafe { (metric(handle), state_ref(target)) };
        Ok(outcome(metric.result(state.checked()?)?))
    })
}

unsafe extern "C" fn save(handle: Handle, target: Handle) -> RResult<abi::SavedState, abi::Error> {
    catch_panics(|| {
        // SAFETY: see above.
        let (metric, state) = unsafe { (metric(handle), state_ref(target)) };
        let (version, bytes) = metric.save(state.checked()?)?;
        Ok(abi::SavedState { version, bytes: bytes.into() })
    })
}

unsafe extern "C" fn load(
    handle: Handle,
    _: &abi::Host,
    version: u32,
    bytes: RSlice<'_, u8>,
) -> RResult<Handle, abi::Error> {
    catch_panics(|| {
        // SAFETY: see above.
        let metric = unsafe { metric(handle) };
        let content = metric.load(version, bytes.as_slice())?;
        let new = metric.save(&*metric.init()).is_ok_and(|initial| initial == (version, bytes.to_vec()));
        Ok(State { content, new, poisoned: false }.handle())
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
