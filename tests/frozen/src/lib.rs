//! A plug-in as somebody may have built it against the first ABI, without plugfit-api: one metric by hand, an interface of the
//! future beside today's, a component of a kind that nobody knows.

use plugfit_abi::{
    abi_stable::std_types::{ROption, RResult, RSlice, RStr, RString, RVec},
    Error, Handle, Host, Inputs, Interface, MetricResult, MetricV1, Root, SavedState, ABI_VERSION, ERROR_STATE, MAGIC,
    METRIC_V1, RESULT_SCALAR,
};

const JSON: &str = concat!(
    r#"{"abi":1,"name":"frozen","version":"0.9.0","description":"From the first day","panic":"unwind","from the future":[1],"#,
    r#""interfaces":["plugfit.metric/1","plugfit.metric/2"],"components":["#,
    r#"{"kind":"metric","name":"CountRows","aliases":["count_rows"],"doc":"The rows seen.","config_version":1,"base":{},"fields":[]},"#,
    r#"{"kind":"sampler","name":"OfTheFuture","doc":"Nobody knows what it is.","config_version":1,"fields":[]}]}"#
);

const fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let mut all = [0; N];
    let mut i = 0;
    while i < N {
        all[i] = text.as_bytes()[i];
        i += 1;
    }
    all
}

#[used]
#[link_section = ".plugfit.manifest"]
static MANIFEST: [u8; JSON.len()] = bytes(JSON);

#[no_mangle]
pub static plugfit_root__frozen_0_9_0: Root = Root {
    magic: MAGIC,
    abi_version: ABI_VERSION,
    reserved: 0,
    manifest: &raw const MANIFEST as *const u8,
    manifest_length: JSON.len(),
    get_interface,
};

static TABLE: MetricV1 = MetricV1 {
    create,
    release: release_metric,
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
};
static TODAY: Interface = Interface::of(&TABLE);
/// Longer, and nothing like today's: a host that called it would crash.
static FUTURE: Interface = Interface { functions: std::ptr::null(), size: 4096, layout: TODAY.layout };

unsafe extern "C" fn get_interface(id: *const u8, length: usize) -> *const Interface {
    // SAFETY: the caller's promise.
    match unsafe { std::slice::from_raw_parts(id, length) } {
        id if id == METRIC_V1.as_bytes() => &raw const TODAY,
        b"plugfit.metric/2" => &raw const FUTURE,
        _ => std::ptr::null(),
    }
}

fn text(text: &str) -> RResult<RString, Error> {
    RResult::ROk(text.into())
}

fn state(rows: u64) -> RResult<Handle, Error> {
    RResult::ROk(Handle { pointer: Box::into_raw(Box::new(rows)).cast() })
}

/// # Safety
/// A handle of [`state`].
unsafe fn rows<'s>(state: Handle) -> &'s mut u64 {
    // SAFETY: the caller's promise.
    unsafe { &mut *state.pointer.cast() }
}

unsafe extern "C" fn create(_: &Host, _: RStr<'_>, _: RStr<'_>, _: u32) -> RResult<Handle, Error> {
    state(0)
}
unsafe extern "C" fn release_metric(metric: Handle) {
    // SAFETY: given back once.
    drop(unsafe { Box::from_raw(metric.pointer.cast::<u64>()) });
}
unsafe extern "C" fn config(_: Handle) -> RResult<RString, Error> {
    text("{}")
}
unsafe extern "C" fn instance_info(_: Handle) -> RResult<RString, Error> {
    text(r#"{"direction":"maximize","of the future":true}"#)
}
unsafe extern "C" fn new_state(_: Handle, _: &Host) -> RResult<Handle, Error> {
    state(0)
}
unsafe extern "C" fn release_state(state: Handle) {
    // SAFETY: given back once.
    drop(unsafe { Box::from_raw(state.pointer.cast::<u64>()) });
}
unsafe extern "C" fn reset(_: Handle, _: &Host, state: Handle) -> RResult<(), Error> {
    // SAFETY: a handle of this table; so below.
    *unsafe { rows(state) } = 0;
    RResult::ROk(())
}
unsafe extern "C" fn clone_state(_: Handle, of: Handle) -> RResult<Handle, Error> {
    // SAFETY: as above.
    state(*unsafe { rows(of) })
}
unsafe extern "C" fn update(_: Handle, _: &Host, state: Handle, inputs: &Inputs<'_>) -> RResult<(), Error> {
    let y_pred = &inputs.tensors[1].tensor;
    // SAFETY: as above; a tensor's shape has as many lengths as its rank says.
    unsafe { *rows(state) += if y_pred.rank == 0 { 1 } else { *y_pred.shape as u64 } };
    RResult::ROk(())
}
unsafe extern "C" fn merge(_: Handle, _: &Host, state: Handle, other: Handle) -> RResult<(), Error> {
    // SAFETY: as above.
    unsafe { *rows(state) += *rows(other) };
    RResult::ROk(())
}
unsafe extern "C" fn result(_: Handle, _: &Host, state: Handle) -> RResult<MetricResult, Error> {
    // SAFETY: as above.
    let values: RVec<f64> = vec![*unsafe { rows(state) } as f64].into();
    RResult::ROk(MetricResult { kind: RESULT_SCALAR, values, shape: RVec::new(), names: RVec::new() })
}
unsafe extern "C" fn save(_: Handle, state: Handle) -> RResult<SavedState, Error> {
    // SAFETY: as above.
    RResult::ROk(SavedState { version: 1, bytes: unsafe { *rows(state) }.to_le_bytes().to_vec().into() })
}
unsafe extern "C" fn load(_: Handle, _: &Host, _: u32, bytes: RSlice<'_, u8>) -> RResult<Handle, Error> {
    match bytes.as_slice().try_into() {
        Ok(bytes) => state(u64::from_le_bytes(bytes)),
        Err(_) => RResult::RErr(Error {
            kind: ERROR_STATE,
            message: "a count has 8 bytes".into(),
            field: ROption::RNone,
            place: ROption::RNone,
        }),
    }
}
