#include "models/kernel/kernel_config.h"

#include "models/kernel/rules.h"

namespace collapsar {

ThpEnabled KernelConfig::anon_enabled() const {
  switch (thp.pmd_size.enabled) {
    case SizeEnabled::inherit: return thp.enabled;
    case SizeEnabled::always: return ThpEnabled::always;
    case SizeEnabled::madvise: return ThpEnabled::madvise;
    case SizeEnabled::never: return ThpEnabled::never;
  }
  return thp.enabled;
}

void KernelConfig::validate() const {
  const Rules* rules = find_rules(version);
  if (!rules)
    throw std::invalid_argument(fmt::format("version: {} is not known; known are {}", version, known_versions()));
  if (!rules->per_size_controls && thp.pmd_size.enabled != SizeEnabled::inherit)
    throw std::invalid_argument(
        fmt::format("thp.hugepages-2048kB.enabled: kernel {} has no controls per size", version));
}

}  // namespace collapsar
