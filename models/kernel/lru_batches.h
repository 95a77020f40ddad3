// LruBatches: new pages on their way to an LRU list, gathered CPU by CPU (lru_add of mm/swap.c).
//
// Models:      a page that becomes known to the LRU waits in the batch of the CPU that made it, off every list and with
//              one reference more, until the batch is full, a huge page comes, or somebody drains it. A page that loses
//              its last user meanwhile is freed at the drain.
// Simplified:  only additions are batched: activation, deactivation, rotation and MADV_FREE act at once; pages of locked
//              memory, which have a batch of their own, share this one. What is put in place before time 0 has reached
//              its list.
// Time:        none.
// Owns:        the batches. Frame::in_batch says that a frame is in one.
// Source:      Linux mm/swap.c, include/linux/pagevec.h as documented; PAGEVEC_SIZE: rules.lru_batch_pages.
//
// Invariants:
//  1. A frame is in at most one batch, and then on no list; huge pages are in none.
#pragma once

#include <array>
#include <vector>

#include "models/kernel/lru.h"
#include "models/kernel/rmap.h"

namespace collapsar {

class LruBatches {
 public:
  LruBatches(KernelContext& kernel, Rmap& rmap, Lru& lru) : kernel_(kernel), rmap_(rmap), lru_(lru) {}

  // folio_add_lru. Requires: on no list and in no batch.
  void add(Pfn pfn, CpuId cpu);
  void drain(CpuId cpu);  // lru_add_drain
  void drain_all();       // lru_add_drain_all
  // __lru_cache_activate_folio: a page that waits in the batch of this very CPU goes to the active list.
  void activate(Pfn pfn, CpuId cpu);
  // What has not been on a list just now gets on one. Multi-generation lists (rules) forget that it was referenced, unless it
  // is unevictable.
  void enter(Pfn pfn);
  std::uint64_t pages() const;

 private:
  static constexpr std::size_t kMost = 31;
  struct Batch {
    std::array<std::uint32_t, kMost> frames;
    std::uint32_t count = 0;
  };
  Batch& batch_of(CpuId cpu);
  void drain(Batch& batch);

  KernelContext& kernel_;
  Rmap& rmap_;
  Lru& lru_;
  std::vector<Batch> batches_;  // by CPU; the first is that of kernel threads on a CPU of their own
};

}  // namespace collapsar
