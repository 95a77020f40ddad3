// Work: where a thread is in its references: the run of records, and pieces that fault. Saved and restored as a whole
// when the thread leaves a CPU.
#pragma once

#include <utility>
#include <vector>

#include "sim/core/error.h"
#include "sim/trace/trace.h"

namespace collapsar {

constexpr bool reads_data(RefKind kind) { return is_one_of(kind, RefKind::load, RefKind::modify); }

// One page's part of a reference.
struct Piece {
  VirtAddr va{};
  std::uint32_t bytes = 0;
  RefKind kind = RefKind::load;
  bool was_miss = false;          // its L1 and L2 look-ups were misses whose page size is still to be told
  bool repeated = false;          // its next walk comes after a fault or for a dirty bit
  bool needs_fault = false;       // the kernel must see it before it is walked again
  std::uint64_t instruction = 0;  // number of its instruction
  std::uint64_t reference = 0;    // number of its reference
  std::uint64_t load = 0;         // number among the loads; 0 = no load
  bool is_fetch() const { return kind == RefKind::fetch; }
  bool writes() const { return is_write(kind); }
};

struct Work {
  const Record* begin = nullptr;  // of the run
  const Record* next = nullptr;
  const Record* end = nullptr;
  std::int64_t begin_ns = 0, end_ns = 0;  // stamps of the run
  std::uint32_t page_offset = 0;          // bytes of *next already issued (a reference that crosses pages)
  bool resuming = false;                  // *next has been counted
  std::vector<Piece> replay;              // pieces that fault, oldest first: settled one by one before anything else
  // Counts of the thread.
  std::uint64_t instructions = 0, loads = 1;
  std::uint64_t slow_references = 0;  // that did not simply hit
  std::uint64_t refused = 0;          // the last of them that the kernel refused
  // Pace.
  Time pace_origin{};               // pace fixed: since when references are counted
  std::uint64_t references = 0;     // since then, before `begin`
  std::uint64_t idle_given_at = 0;  // pace model with scale: instructions whose idle time has passed

  // Requires: nothing is left of the run.
  void restart_pace(Time now) { pace_origin = now, references = 0, begin = next = end; }
  bool has_records() const { return next != end || resuming || !replay.empty(); }
  // The kernel's answer for the oldest piece: it may be walked again, or it is skipped. Returns whether the answer is
  // the first "no" for its reference.
  bool settle_fault(bool resolved) {
    SIM_ASSERT(!replay.empty() && replay.front().needs_fault, "a fault is answered that nobody took");
    if (resolved) {
      replay.front().needs_fault = false, replay.front().repeated = true;
      return false;
    }
    const std::uint64_t reference = replay.front().reference;
    replay.erase(replay.begin());
    return std::exchange(refused, reference) != reference;
  }
};

}  // namespace collapsar
