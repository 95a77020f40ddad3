#include "sim/run/hindsight.h"

#include "sim/run/experiment_config.h"

namespace collapsar {

Hindsight::Hindsight(const std::vector<RangeRow>& rows) {
  for (const RangeRow& row : rows) cycles_[{row.pid, row.space, row.base.value}] = row.walk_cycles;
}

std::uint64_t Hindsight::walk_cycles(std::uint32_t pid, std::uint32_t space, VirtAddr base) const {
  const auto found = cycles_.find({pid, space, base.value});
  return found == cycles_.end() ? 0 : found->second;
}

Variant first_pass(const Variant& variant) {
  Variant first = variant;
  first.config.kernel.thp.enabled = ThpEnabled::never;
  first.config.kernel.thp.pmd_size.enabled = SizeEnabled::inherit;
  first.config.kernel.khugepaged.policy = CollapsePolicy::as_linux;
  return first;
}

std::uint64_t HindsightWeights::weight(const AddressSpace& mm, VirtAddr base) const {
  return hindsight_.walk_cycles(mm.pid(), space_of(mm), base);
}

std::uint32_t HindsightWeights::space_of(const AddressSpace& mm) const {
  std::uint32_t before = 0;
  const auto& spaces = processes_.address_spaces();
  for (Asid i = 0; i + 1 < mm.asid(); ++i) before += spaces[i]->pid() == mm.pid();
  return before;
}

}  // namespace collapsar
