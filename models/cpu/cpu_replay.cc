// Cpu: pieces that fault: kept in program order, and settled one by one.
#include <algorithm>

#include "models/cpu/cpu_slot.h"

namespace collapsar {

// Keeps a piece that faults, in program order, until everything older is done.
void Cpu::to_replay(const Piece& piece, bool needs_fault) {
  auto& list = work_->replay;
  const auto is_older = [](const Piece& a, const Piece& b) { return a.reference < b.reference; };
  list.insert(std::upper_bound(list.begin(), list.end(), piece, is_older), piece)->needs_fault = needs_fault;
}

// Settles the oldest piece that faults: waits for what is older, has the kernel resolve the fault, walks again. True:
// look again.
bool Cpu::settle_replay() {
  if (!is_quiet()) return wait();
  if (!arrive()) return false;
  Piece& first = work_->replay.front();
  const bool is_answered_at_once = mmu_.ideal() || mmu_.has_fixed_walks();
  if (is_answered_at_once && mmu_.would_fault(first.va, first.is_fetch(), first.writes())) first.needs_fault = true;
  if (first.needs_fault) {
    client_.fault(*this, first.va, first.is_fetch() ? Access::execute : first.writes() ? Access::write : Access::read);
    return false;
  }
  if (mmu_.ideal()) {
    const Piece piece = first;
    work_->replay.erase(work_->replay.begin());
    access(piece, nullptr, mmu_.translate_ideally(piece.va, piece.is_fetch(), piece.writes(), piece.was_miss), at_);
    return true;
  }
  const std::int64_t delay = first.repeated ? 0 : std::int64_t{mmu_.l2_latency()} * Clock::kSubcycles;
  if (mmu_.has_fixed_walks()) {
    const Piece piece = first;
    work_->replay.erase(work_->replay.begin());
    return walk_fixed(piece, at_ + delay), true;
  }
  start_walk(first, at_ + delay).is_serial = true;
  return wait();
}

}  // namespace collapsar
