/* A loss or a metric of plugfit as a function of a shared library, in C or whatever makes one.
 *
 * Name it as library#function where a loss or a metric is named:
 *
 *     loss = "libmine.so#my_loss"          # in a run's file; the path is seen from that file
 *
 * y_true and y_pred are batches of rows * columns float32 numbers, row by row. The function writes a value for each row. It keeps
 * no pointer, may be called by several threads at once, and must not let an exception or a panic leave it.
 *
 * Build it with, say, `cc -O3 -shared -fPIC -o libmine.so mine.c`. Nothing of plugfit is linked.
 */
#ifndef PLUGFIT_H
#define PLUGFIT_H

#include <stddef.h>

#if defined(_WIN32)
#define PLUGFIT_EXPORT __declspec(dllexport)
#else
#define PLUGFIT_EXPORT __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
#define PLUGFIT_CALLABLE extern "C" PLUGFIT_EXPORT void
extern "C" {
#else
#define PLUGFIT_CALLABLE PLUGFIT_EXPORT void
#endif

/* The values: `out` has room for `rows` numbers. */
typedef void plugfit_callable(const float *y_true, const float *y_pred, size_t rows, size_t columns, float *out);

/* The derivative of each row's value with respect to its part of y_pred: `out` has room for rows * columns numbers. Export it as the
 * function's name with `_gradient` behind it. Without it the function can be evaluated, and is refused for training. */
typedef void plugfit_callable_gradient(const float *y_true, const float *y_pred, size_t rows, size_t columns, float *out);

#ifdef __cplusplus
}
#endif

#endif
