// Compaction::Run: one run over memory: where its scanners stand, the pages in its hands. Private to compaction*.cc.
#pragma once

#include "models/kernel/compaction.h"
#include "models/kernel/flush_list.h"

namespace collapsar {

// States: scanning -> for each group of the cluster: unmapping (with its flush), copying page by page, all mapped anew ->
// scanning ... -> finished (idle). A group is the cluster, or one page (rules.batches_migration).
struct Compaction::Run {
  explicit Run(Compaction& owner) : compaction(owner), copy(owner.kernel_.queue, owner.kernel_.dram) {}
  void scanned() { compaction.move_next(*this); }
  void unmapped() { compaction.copy_next(*this); }
  void part_done() { compaction.part_done(*this); }

  Compaction& compaction;
  Request* request = nullptr;  // nullptr: kcompactd's
  bool busy = false, is_sync = false, is_proactive = false;
  bool block_gave_pages = false;  // of the pageblock under the source scanner
  std::uint64_t migrate = 0;      // the source scanner's next frame
  std::uint64_t free = 0;         // the target scanner is in the pageblock that begins here; it moves down
  std::uint64_t free_at = 0;      // its next frame there; within a pageblock it moves up
  std::uint64_t score_before = 0;
  std::vector<Pfn> sources;  // isolated and locked; those before `next` are done with
  std::vector<Pfn> targets;  // set aside; used from the back
  std::size_t next = 0, group_end = 0,
              copied_to = 0;  // of sources: the group that moves together, and how far it is copied
  Pfn source_of_copy{};
  unsigned parts_left = 0;
  FlushList flushes;                       // of the group
  std::uint64_t looked_at = 0, moved = 0;  // frames, pages
  Time began{};
  Duration cost{};
  BulkCopy copy;
  Event scanned_ = event<&Run::scanned>(this, "compaction.scan", Phase::kernel);
  Event unmapped_ = event<&Run::unmapped>(this, "compaction.unmap", Phase::kernel);
  Event part_done_ = event<&Run::part_done>(this, "compaction.copy", Phase::kernel);
  Event copied_ = event<&Run::part_done>(this, "compaction.copy_dram", Phase::kernel);
};

}  // namespace collapsar
