#include "sim/run/mapped_at.h"

#include <algorithm>
#include <optional>

namespace collapsar {

namespace {

using Vmas = std::map<std::uint64_t, TraceEvent>;

std::uint64_t end_of(const TraceEvent& vma) { return vma.address + vma.length; }

// Requires: nothing is there.
void put(Vmas& vmas, TraceEvent vma, std::uint64_t start, std::uint64_t end) {
  vma.address = start, vma.length = end - start;
  if (start < end) vmas.emplace(start, std::move(vma));
}

// Cuts [start, end) out of all, and gives what was first in it.
std::optional<TraceEvent> cut(Vmas& vmas, std::uint64_t start, std::uint64_t end) {
  std::optional<TraceEvent> first;
  if (start >= end) return first;
  auto at = vmas.upper_bound(start);
  if (at != vmas.begin() && end_of(std::prev(at)->second) > start) --at;
  while (at != vmas.end() && at->first < end) {
    const TraceEvent vma = std::move(at->second);
    at = vmas.erase(at);
    put(vmas, vma, vma.address, start);
    put(vmas, vma, end, end_of(vma));
    if (!first) first = vma;
  }
  return first;
}

void add(Vmas& vmas, TraceEvent vma) {
  const std::uint64_t start = vma.address, end = start + align_up(vma.length, kPageBytes);
  cut(vmas, start, end);
  put(vmas, std::move(vma), start, end);
}

}  // namespace

void MappedAt::apply(const TraceEvent& event) {
  using Op = TraceEvent::Op;
  Vmas& vmas = vmas_[event.pid];
  const std::uint64_t end = event.address + align_up(event.length, kPageBytes);
  switch (event.op) {
    case Op::vma:
    case Op::mmap: return add(vmas, event);
    case Op::munmap: return void(cut(vmas, event.address, end));
    case Op::mremap:
      if (std::optional<TraceEvent> moved = cut(vmas, event.address, end)) {
        moved->address = event.new_address, moved->length = event.new_length;
        add(vmas, *std::move(moved));
      }
      return;
    case Op::fork: {
      Vmas inherited = vmas;
      const auto child = static_cast<std::uint32_t>(event.value);
      for (auto& [start, vma] : inherited) vma.pid = child;
      vmas_[child] = std::move(inherited);
      return;
    }
    case Op::exec:
    case Op::exit: return vmas.clear();
    default: return;
  }
}

std::vector<TraceEvent> MappedAt::list() const {
  std::vector<TraceEvent> all;
  for (const auto& [pid, vmas] : vmas_)
    for (const auto& [start, vma] : vmas) all.push_back(vma);
  return all;
}

}  // namespace collapsar
