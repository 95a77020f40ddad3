// Reclaim's workers and what one batch of theirs did. Private to reclaim.cc, evict.cc and kswapd.cc.
#pragma once

#include "models/kernel/flush_list.h"
#include "models/kernel/reclaim.h"

namespace collapsar {

struct Reclaim::MappedAt {
  AddressSpace* mm;
  VirtAddr va;
  Pte* entry;
  PageSize size;
  Pfn pfn;  // the 4 KiB page; of a PMD the head
};

struct Reclaim::Batch {
  Worker& worker;
  CpuId cpu = kNoCpu;
  std::uint64_t looked_at = 0;           // entries
  std::uint64_t scanned = 0, freed = 0;  // pages
  Duration extra{};                      // beside reclaim_page for each entry planned
  FlushList flushes{};
};

// States: scanning (scan_done_ pending) -> waiting for writes, or the next batch -> finished (idle).
struct Reclaim::Worker {
  enum class Kind : std::uint8_t { kswapd, direct, page_out };
  explicit Worker(Reclaim& owner) : reclaim(owner) {}
  void scan_done() { reclaim.batch_done(*this); }

  Reclaim& reclaim;
  Kind kind = Kind::kswapd;
  bool busy = false, waiting = false;
  DirectReclaim* request = nullptr;   // direct
  Event* done = nullptr;              // page_out
  std::uint64_t since_progress = 0;   // pages looked at since one came free or was sent out
  std::uint64_t freed = 0, sent = 0;  // pages
  std::uint64_t writes = 0;           // under way
  bool others_freed = false;          // a write that this worker only waited for set pages free
  unsigned failures = 0;              // kswapd
  Time began{}, batch_began{};        // for whoever draws
  Duration debt{};                    // cost of the batch before that its scan did not cover
  Event scan_done_ = event<&Worker::scan_done>(this, "reclaim.scan_done", Phase::kernel);
};

struct Reclaim::Writing {
  explicit Writing(Reclaim& owner) : reclaim(owner) { write.done = &done_; }
  void done() { reclaim.write_done(*this); }
  Reclaim& reclaim;
  Worker* worker = nullptr;
  std::uint64_t pages = 0;
  SwapCache::Write write;
  Event done_ = event<&Writing::done>(this, "reclaim.write_done", Phase::kernel);
};

}  // namespace collapsar
