#include "models/kernel/memcg.h"

namespace collapsar {

void Memcgs::set_limit(AddressSpace& mm, std::uint64_t bytes) {
  if (mm.memcg == 0) {
    groups_.emplace_back();
    mm.memcg = MemcgId(groups_.size());
  }
  groups_[mm.memcg - 1].limit = bytes >> kPageShift;
}

bool Memcgs::charge(MemcgId id, Pfn block, std::uint64_t pages) {
  Group& group = groups_[id - 1];
  if (group.charged + pages > group.limit) return false;
  group.charged += pages;
  for (std::uint64_t i = 0; i < pages; ++i) charged_[(block + i).value] = id;
  return true;
}

void Memcgs::forget(Pfn block, std::uint64_t pages) {
  for (std::uint64_t i = 0; i < pages; ++i) {
    const auto it = charged_.find((block + i).value);
    if (it == charged_.end()) continue;
    --groups_[it->second - 1].charged;
    charged_.erase(it);
  }
}

void Memcgs::moved(Pfn from, Pfn to) {
  const auto it = charged_.find(from.value);
  if (it == charged_.end()) return;
  const MemcgId id = it->second;
  charged_.erase(it);
  charged_[to.value] = id;
}

void free_frames(KernelContext& kernel, Pfn block, unsigned order) {
  kernel.stats.vmstat.pgfree += 1ULL << order;
  kernel.memcgs.uncharge(block, 1ULL << order);
  kernel.memory.free(block, order);
}

}  // namespace collapsar
