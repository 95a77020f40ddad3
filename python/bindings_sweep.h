// The part of the module that collapsar/_sweep.py uses.
#pragma once

#include <pybind11/pybind11.h>

namespace collapsar {

void bind_sweep(pybind11::module_& module);

}  // namespace collapsar
