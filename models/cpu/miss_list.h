// MissList: the misses that a program runs ahead of, oldest first.
//
// Models:      what a reorder buffer or a store buffer holds of them: since which instruction, and until when.
// Simplified:  nothing.
// Time:        none of its own; positions in sub-cycles.
// Owns:        its misses. Their slots are the CPU's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "sim/core/error.h"

namespace collapsar {

// Slot: what waits for a walk or for memory.
template <class Slot>
class MissList {
 public:
  static constexpr std::int64_t kUnknown = std::numeric_limits<std::int64_t>::max();
  // Of a miss whose end is known, the most by far, this is all there is.
  struct Miss {
    std::uint64_t instruction;  // number of its instruction
    std::uint64_t load;         // number among the loads; 0 = no load
    std::int64_t done_at;       // kUnknown: not known yet
    Slot* slot;                 // nullptr: its end is known
    bool is_fetch, is_walking;
  };

  explicit MissList(std::size_t capacity) : places_(2 * capacity), first_(places_.data()), end_(first_) {}

  bool empty() const { return first_ == end_; }
  std::size_t size() const { return std::size_t(end_ - first_); }
  Miss* begin() { return first_; }
  Miss* end() { return end_; }
  const Miss* begin() const { return first_; }
  const Miss* end() const { return end_; }
  const Miss& front() const { return *first_; }
  Miss& back() { return end_[-1]; }
  std::int64_t first_done() const { return first_done_; }  // the least done_at

  // Requires: size() is less than the capacity. Misses move: others that were referred to are elsewhere now.
  Miss& add(const Miss& miss) {
    if (end_ == places_.data() + places_.size()) {
      SIM_ASSERT(first_ != places_.data(), "{} misses, one more than there is room for", size());
      end_ = std::copy(first_, end_, places_.data());
      first_ = places_.data();
    }
    return *end_++ = miss;
  }
  void ends_at(Miss& miss, std::int64_t at) { miss.done_at = at, first_done_ = std::min(first_done_, at); }
  void erase(Miss& miss) {
    std::move_backward(first_, &miss, &miss + 1);
    ++first_;
  }
  // Calls f for each miss that is done at `now` and takes it out: mostly the oldest, so that none moves.
  template <class F>
  void take_done(std::int64_t now, F&& f) {
    Miss* kept = end_;
    std::int64_t first_done = kUnknown;
    for (const Miss* miss = end_; miss-- != first_;) {
      if (miss->done_at <= now) {
        f(*miss);
        continue;
      }
      first_done = std::min(first_done, miss->done_at);
      if (--kept != miss) *kept = *miss;
    }
    first_ = kept, first_done_ = first_done;
  }

 private:
  std::vector<Miss> places_;  // the oldest leave at the front
  Miss *first_, *end_;
  std::int64_t first_done_ = kUnknown;
};

}  // namespace collapsar
