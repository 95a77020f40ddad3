// The part of the module that collapsar/_simulation.py uses.
#pragma once

#include <pybind11/pybind11.h>

namespace collapsar {

void bind_simulation(pybind11::module_& module);

}  // namespace collapsar
