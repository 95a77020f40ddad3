// What Python's Result is made of.
#pragma once

#include <pybind11/pybind11.h>

#include "sim/run/experiment.h"

namespace collapsar {

struct Answer {
  ExperimentResult result;
  std::string json, table, ranges_csv;
};

Answer answer_of(ExperimentResult result, const std::vector<VirtAddr>& why);
// Requires: the interpreter is held.
pybind11::dict dict_of(const Answer& answer);

}  // namespace collapsar
