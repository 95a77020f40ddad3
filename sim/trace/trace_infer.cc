#include "sim/trace/trace_infer.h"

#include <array>
#include <bit>

namespace collapsar {

// The smallest gap that leaves few enough VMAs: a power of two times kInferredGap.
std::uint64_t TouchedRanges::gap() const {
  std::array<std::uint64_t, 65> gaps{};  // by how many doublings would close them
  std::uint64_t next = 0, ends = 0;
  pages_.for_each(0, ~0ULL, [&](std::uint64_t page) {
    const std::uint64_t distance = (page - next) * kPageBytes;
    if (ends > 0 && distance >= kInferredGap) ++gaps[std::bit_width(distance / kInferredGap)];
    next = page + 1, ++ends;
  });
  std::uint64_t vmas = ends > 0 ? 1 : 0, gap = kInferredGap;
  for (const std::uint64_t n : gaps) vmas += n;
  for (std::size_t doublings = 1; vmas > kMostVmas; ++doublings)
    vmas -= gaps[doublings], gap = kInferredGap << doublings;
  return gap;
}

std::vector<TraceEvent> TouchedRanges::inferred_image(std::uint32_t pid, std::uint32_t tid,
                                                      const std::string& name) const {
  TraceEvent process;
  process.pid = pid, process.tid = tid, process.name = name;
  std::vector<TraceEvent> image{process};
  const std::uint64_t most = gap();
  pages_.for_each(0, ~0ULL, [&](std::uint64_t page) {
    const std::uint64_t start = page << kPageShift;
    TraceEvent& last = image.back();
    if (last.op == TraceEvent::Op::vma && start - (last.address + last.length) < most) {
      last.length = start + kPageBytes - last.address;
      return;
    }
    TraceEvent vma = process;
    vma.op = TraceEvent::Op::vma, vma.name.clear();
    vma.address = start, vma.length = kPageBytes;
    vma.prot = 7, vma.map_flags = 0x22;  // rwx, MAP_PRIVATE | MAP_ANONYMOUS
    image.push_back(vma);
  });
  return image;
}

void MappedRanges::remove(std::uint64_t start, std::uint64_t end) {
  auto it = ranges_.upper_bound(start);
  if (it != ranges_.begin()) --it;
  while (it != ranges_.end() && it->first < end) {
    const auto [from, to] = *it;
    if (to <= start) {
      ++it;
      continue;
    }
    it = ranges_.erase(it);
    if (from < start) ranges_[from] = start;
    if (to > end) ranges_[end] = to;
  }
}

}  // namespace collapsar
