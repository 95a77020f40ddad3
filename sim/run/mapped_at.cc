#include "sim/run/mapped_at.h"

#include <algorithm>
#include <optional>

namespace collapsar {

namespace {

using Vmas = std::vector<TraceEvent>;

std::uint64_t end_of(const TraceEvent& vma) { return vma.address + vma.length; }

// Cuts [start, end) out of all, and gives what was first in it.
std::optional<TraceEvent> cut(Vmas& vmas, std::uint64_t start, std::uint64_t end) {
  std::optional<TraceEvent> first;
  Vmas left;
  const auto keep = [&left](TraceEvent vma, std::uint64_t from, std::uint64_t to) {
    vma.address = from, vma.length = to - from;
    if (from < to) left.push_back(vma);
  };
  for (const TraceEvent& vma : vmas) {
    const bool is_hit = vma.address < end && end_of(vma) > start;
    if (is_hit && !first) first = vma;
    keep(vma, vma.address, is_hit ? std::max(vma.address, start) : end_of(vma));
    if (is_hit) keep(vma, std::min(end, end_of(vma)), end_of(vma));
  }
  vmas = std::move(left);
  return first;
}

void add(Vmas& vmas, TraceEvent vma) {
  vma.length = align_up(vma.length, kPageBytes);
  cut(vmas, vma.address, end_of(vma));
  vmas.push_back(std::move(vma));
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
      for (TraceEvent& vma : inherited) vma.pid = child;
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
  for (const auto& [pid, vmas] : vmas_) all.insert(all.end(), vmas.begin(), vmas.end());
  return all;
}

}  // namespace collapsar
