#include "models/kernel/kernel_config.h"

#include "models/kernel/rules.h"

namespace collapsar {

void KernelConfig::validate() const {
  if (find_rules(version)) return;
  std::string known;
  for (const Rules& rules : kRules) known += fmt::format("{}{}", known.empty() ? "" : ", ", rules.version);
  throw std::invalid_argument(fmt::format("version: {} is not known; known are {}", version, known));
}

}  // namespace collapsar
