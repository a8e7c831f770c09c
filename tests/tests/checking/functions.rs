//! Tests of `plugfit check` on C functions, which are checked as losses.

use super::*;

/// The mean of squares, once correctly and once with each kind of mistake.
const SOURCE: &str = r#"
#include <plugfit.h>
#include <stdlib.h>
#include <unistd.h>

static void values(const float *t, const float *p, size_t n, size_t m, float *out) {
    for (size_t i = 0; i < n; i++) {
        out[i] = 0;
        for (size_t j = i * m; j < (i + 1) * m; j++) out[i] += (p[j] - t[j]) * (p[j] - t[j]) / m;
    }
}
static void derivatives(const float *t, const float *p, size_t n, size_t m, float *out, float factor) {
    for (size_t i = 0; i < n * m; i++) out[i] = factor * (p[i] - t[i]) / m;
}
#define LOSS(name, before, factor) \
    PLUGFIT_CALLABLE name(const float *t, const float *p, size_t n, size_t m, float *out) { \
        before; values(t, p, n, m, out); \
    } \
    PLUGFIT_CALLABLE name##_gradient(const float *t, const float *p, size_t n, size_t m, float *out) { \
        derivatives(t, p, n, m, out, factor); \
    }
LOSS(good, , 2)
LOSS(steep, , 3)
LOSS(aborts, abort(), 2)
LOSS(writes_behind, out[n] = 1, 2)
LOSS(writes_inputs, ((float *)p)[0] = 0, 2)
LOSS(leaves, if (chdir("/")) abort(), 2)
PLUGFIT_CALLABLE writes_nothing(const float *t, const float *p, size_t n, size_t m, float *out) { }
PLUGFIT_CALLABLE adds(const float *t, const float *p, size_t n, size_t m, float *out) {
    for (size_t i = 0; i < n * m; i++) out[i / m] += (p[i] - t[i]) * (p[i] - t[i]) / m;
}
PLUGFIT_CALLABLE value_alone(const float *t, const float *p, size_t n, size_t m, float *out) { values(t, p, n, m, out); }
"#;

/// Compiles [`SOURCE`] and returns a folder with `libmine.so`.
fn compiled() -> tempfile::TempDir {
    let folder = folder();
    c_library(folder.path(), "mine", SOURCE, &["-O1"]);
    folder
}

#[test]
fn a_c_function_is_checked_by_the_loss_tests_that_need_no_settings() {
    let folder = compiled();
    let check = |name: &str| run(folder.path(), &["check", &format!("./libmine.so#{name}")]);
    check("good").with_status(0).prints(&["./libmine.so#good   all 21 tests hold"]);
    check("value_alone").with_status(0).prints(&[
        "18 of 21 tests hold, 3 not tried",
        "not tried loss/value_alone   as it declares, it has no gradient",
    ]);
    check("adds").with_status(0).prints(&["18 of 21 tests hold, 3 not tried"]);
    let failing = |name: &str, test: &str, reason: &str| {
        let only = format!("loss/{name}/{test}");
        let ran = run(folder.path(), &["check", &format!("libmine.so#{name}"), "--only", &only]).with_status(1);
        ran.prints(&[&format!("FAIL      {only}"), reason, &format!("again:  plugfit check 'libmine.so#{name}'")]);
    };
    failing("steep", "gradient", "gives the derivative");
    failing("aborts", "gradient", "ended the process by abort");
    failing("writes_behind", "buffers", "writes behind the last number of the values");
    failing("writes_inputs", "inputs", "writes into y_pred, which is an input");
    failing("writes_nothing", "weights", "aren't finite, or doesn't give all");
    failing("leaves", "directory", "changes the working directory");
    check("god").with_status(1).prints(&["has no function \"god\"", "good"]);
    let listed = run(folder.path(), &["check", "libmine.so#good", "--list"]).with_status(0).out;
    assert!(listed.contains("loss/good/gradient") && !listed.contains("config"), "{listed}");
}
