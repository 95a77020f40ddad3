#include "models/mmu/mmu.h"

namespace collapsar {

Mmu::Mmu(EventQueue& queue, const MmuConfig& config, std::uint32_t cpu, CacheHierarchy* caches, Dram& dram, Clock clock,
         std::uint64_t seed)
    : queue_(queue),
      config_(config),
      is_free_(config.fixed_walk == 0U && config.l2_latency == 0 && !config.ideal),
      l1i_(Tlb::Level::first, config.l1i, seed, fmt::format("tlb.{}.l1i", cpu)),
      l1d_(Tlb::Level::first, config.l1d, seed, fmt::format("tlb.{}.l1d", cpu)),
      l2_(Tlb::Level::second, config.split_l2() ? config.l2d : config.l2, seed, fmt::format("tlb.{}.l2", cpu)),
      walker_(queue, config, cpu, caches, dram, clock) {
  if (config.split_l2())
    l2i_ = std::make_unique<Tlb>(Tlb::Level::second, config.l2i, seed, fmt::format("tlb.{}.l2i", cpu));
  stats_.split = config.split_l2();
}

template <class F>
void Mmu::for_each_tlb(F&& f) {
  f(l1i_), f(l1d_), f(l2_);
  if (l2i_) f(*l2i_);
}

void Mmu::set_space(AddressSpaceRoot space) {
  SIM_ASSERT(space.asid < TlbKey::kMostAsids, "address space {} has no tag", space.asid);
  const bool is_other = space.asid != space_.asid;
  space_ = space, tag_ = Tlb::Space(space.asid);
  if (!is_other || config_.asids) return;
  for_each_tlb([](Tlb& tlb) { tlb.flush_all(); });
  walker_.flush_all();
}

void Mmu::set_way(unsigned kind, bool is_fetch, bool is_write) {
  Way& way = ways_[kind];
  way.shortcut_ = l1_of(is_fetch).shortcut(is_write);
  way.needed_ = is_write ? kWriteReady : 0;
  way.is_fetch_ = is_fetch;
}

// --- look-ups ---

L1Result Mmu::lookup_l1(VirtAddr va, bool is_fetch, bool is_write, PhysAddr& pa) {
  const Tlb::Hit hit = l1_of(is_fetch).lookup(va, tag_, is_write);
  if (!hit) return ++l1_stats(is_fetch).misses, L1Result::miss;
  ++l1_stats(is_fetch).hits_by[unsigned(hit.size())];
  const Pte leaf = hit.leaf();
  pa = physical(leaf, hit.size(), va);
  if (!is_write || is_write_ready(leaf)) return L1Result::hit;
  return leaf.writable() ? L1Result::needs_dirty : L1Result::not_allowed;
}

// With the L1 miss before it, at one place: the two go together nearly always.
void Mmu::note_hit_beyond_l1(VirtAddr va, bool is_fetch, const Tlb::Hit& hit) {
  if (observer_) observer_->l1_missed(space_.asid, va, true);
  ++hits_beyond_l1_[is_fetch][unsigned(hit.size())];
}

// An L2 hit that needs no walk, counted with its L1 miss. False: it needs one, or is not allowed.
bool Mmu::take_l2_hit(VirtAddr va, bool is_fetch, bool is_write, const Tlb::Hit& hit) {
  if (is_write && !is_write_ready(hit.leaf())) return false;
  note_hit_beyond_l1(va, is_fetch, hit);
  l1_of(is_fetch).copy(va, hit, is_write);  // L1 has just not had it
  return true;
}

bool Mmu::find_l1_or_l2(VirtAddr va, bool is_fetch, bool is_write, bool& has_missed_l1, PhysAddr& pa) {
  Tlb::Hit hit;
  if (!has_missed_l1) {
    hit = find_l1(va, is_fetch, is_write);
    has_missed_l1 = !hit;
  }
  if (!hit) {
    hit = l2_of(is_fetch).search(va, tag_, is_write);
    if (!hit || !take_l2_hit(va, is_fetch, is_write, hit)) return false;
  } else if (is_write && !is_write_ready(hit.leaf())) {
    return false;
  } else {
    count_l1_hit(is_fetch, hit.size());
  }
  pa = physical(hit.leaf(), hit.size(), va);
  return true;
}

bool Mmu::lookup_l2(VirtAddr va, bool is_fetch, bool is_write, TlbEntry& entry) {
  const Tlb::Hit hit = l2_of(is_fetch).search(va, tag_, is_write);
  if (!hit) return count_l2_miss(va, is_fetch), false;
  if (observer_) observer_->l1_missed(space_.asid, va, true);
  ++l2_stats(is_fetch).hits_by[unsigned(hit.size())];
  ++l1_stats(is_fetch).misses_by[unsigned(hit.size())];  // the miss itself is counted already
  l1_of(is_fetch).fill(va, space_.asid, hit.content(), is_write);
  entry = hit.content();
  return true;
}

bool Mmu::would_fault(VirtAddr va, bool is_fetch, bool is_write) const {
  return refuses(space_.table->lookup(va), is_fetch, is_write);
}

bool Mmu::refuses(const PageTable::Leaf& leaf, bool is_fetch, bool is_write) {
  if (!leaf.entry || !leaf.entry->hw_present()) return true;
  return (is_write && !leaf.entry->writable()) || (is_fetch && !leaf.entry->executable());
}

void Mmu::count_l2_miss(VirtAddr va, bool is_fetch) {
  if (observer_) observer_->l1_missed(space_.asid, va, false);
  ++l2_stats(is_fetch).misses;
}

// A repeated walk renews what is there; where the fault had its old entry flushed, it fills as a miss does.
void Mmu::fill(const WalkRequest& request, bool is_fetch, bool was_miss) {
  const Asid asid = request.space.asid;
  Tlb &l1 = l1_of(is_fetch), &l2 = l2_of(is_fetch);
  if (was_miss) {
    ++l1_stats(is_fetch).misses_by[unsigned(request.entry.size)];
    ++l2_stats(is_fetch).misses_by[unsigned(request.entry.size)];
  } else {
    const bool is_in_l1 = l1.update(request.va, asid, request.entry);
    const bool is_in_l2 = l2.update(request.va, asid, request.entry);
    if (is_in_l1 || is_in_l2) return;
  }
  l2.fill(request.va, asid, request.entry, request.is_write);
  l1.fill(request.va, asid, request.entry, request.is_write);
}

PhysAddr Mmu::translate_ideally(VirtAddr va, bool is_fetch, bool is_write, bool was_miss) {
  const PageTable::Leaf leaf = space_.table->lookup(va);
  leaf.entry->set(is_write ? Pte::kAccessed | Pte::kDirty : Pte::kAccessed);
  if (was_miss) {
    --l1_stats(is_fetch).misses;
    ++l1_stats(is_fetch).hits_by[unsigned(leaf.size)];
  }
  l1_of(is_fetch).fill(va, space_.asid, {*leaf.entry, leaf.size}, is_write);
  return physical(*leaf.entry, leaf.size, va);
}

// --- walks of fixed length ---

TlbEntry Mmu::walk_fixed(VirtAddr va, bool is_fetch, bool is_write, bool was_miss, std::int64_t at) {
  const PageTable::Leaf leaf = space_.table->lookup(va);
  return walk_fixed(leaf, {va, space_, is_write, is_fetch, !was_miss}, was_miss, at);
}

TlbEntry Mmu::walk_fixed(const PageTable::Leaf& leaf, WalkRequest request, bool was_miss, std::int64_t at) {
  take_fixed_walk(leaf, request, at);
  fill(request, request.is_execute, was_miss);
  return request.entry;
}

// The walk itself, counted; the TLBs do not have its answer yet.
void Mmu::take_fixed_walk(const PageTable::Leaf& leaf, WalkRequest& request, std::int64_t at) {
  const std::int64_t length = std::int64_t{fixed_walk()} * Clock::kSubcycles;
  leaf.entry->set(request.is_write ? Pte::kAccessed | Pte::kDirty : Pte::kAccessed);
  request.entry = {*leaf.entry, leaf.size};
  walker_.count_fixed(request, length, std::max<std::int64_t>(0, at + length - std::max(at, walking_until_)));
  walking_until_ = std::max(walking_until_, at + length);
}

bool Mmu::translate_free(VirtAddr va, bool is_fetch, bool is_write, std::int64_t at, VirtAddr ahead) {
  const Tlb::Hit hit = l2_of(is_fetch).search(va, tag_, is_write);
  if (hit) {
    if (is_write && !is_write_ready(hit.leaf())) return false;
    note_hit_beyond_l1(va, is_fetch, hit);
    l1_of(is_fetch).copy(va, hit, is_write);  // find_l1() has just not found it
    return true;
  }
  space_.table->prefetch(ahead);
  const PageTable::Leaf leaf = space_.table->lookup(va);
  if (refuses(leaf, is_fetch, is_write)) return false;
  count_l1_miss(is_fetch), count_l2_miss(va, is_fetch);
  WalkRequest request{va, space_, is_write, is_fetch};
  take_fixed_walk(leaf, request, at);
  ++l1_stats(is_fetch).misses_by[unsigned(leaf.size)], ++l2_stats(is_fetch).misses_by[unsigned(leaf.size)];
  l2_of(is_fetch).fill_new(va, space_.asid, request.entry, is_write);  // neither level has it: both were just searched
  l1_of(is_fetch).fill_new(va, space_.asid, request.entry, is_write);
  return true;
}

// --- flushes ---

void Mmu::flush_range(Asid asid, VirtRange range) {
  ++stats_.flushes;
  for_each_tlb([&](Tlb& tlb) { stats_.flushed_pages += tlb.flush_range(asid, range); });
  walker_.flush(asid);
}

void Mmu::flush_asid(Asid asid) {
  ++stats_.flushes;
  for_each_tlb([&](Tlb& tlb) { stats_.flushed_pages += tlb.flush_asid(asid); });
  walker_.flush(asid);
}

void Mmu::check_against(Asid asid, const PageTable& table, const std::function<bool(VirtRange)>& is_settled) {
  const auto check = [&](Asid entry_asid, VirtAddr va, TlbEntry entry) {
    if (entry_asid != asid || !is_settled({va, va + page_bytes(entry.size)})) return;
    const PageTable::Leaf leaf = table.lookup(va);
    SIM_ASSERT(leaf.entry && leaf.entry->hw_present(), "TLB holds {:#x} of space {}, which the page table does not map",
               va.value, asid);
    SIM_ASSERT(leaf.size == entry.size && leaf.entry->pfn() == entry.leaf.pfn(),
               "TLB maps {:#x} of space {} to frame {:#x}, the page table to {:#x}", va.value, asid,
               entry.leaf.pfn().value, leaf.entry->pfn().value);
    SIM_ASSERT(leaf.entry->writable() || !entry.leaf.writable(),
               "TLB lets {:#x} of space {} be written, the page table does not", va.value, asid);
  };
  for_each_tlb([&](Tlb& tlb) { tlb.for_each(check); });
}

void Mmu::visit_entries(const EntryVisitor& f) {
  const auto visit = [&](const char* level, Tlb& tlb) {
    tlb.for_each([&](Asid asid, VirtAddr va, TlbEntry entry) { f(level, asid, va, entry); });
  };
  visit("l1i", l1i_), visit("l1d", l1d_), visit(l2i_ ? "l2d" : "l2", l2_);
  if (l2i_) visit("l2i", *l2i_);
}

// --- counts ---

MmuStats& Mmu::stats() {
  const WalkerStats& w = walker_.stats();
  for (const bool is_fetch : {false, true})
    for (std::size_t size = 0; size < kPageSizes; ++size) {
      const std::uint64_t hits = std::exchange(hits_beyond_l1_[is_fetch][size], 0);
      l1_stats(is_fetch).misses += hits, l1_stats(is_fetch).misses_by[size] += hits;
      l2_stats(is_fetch).hits_by[size] += hits;
      std::uint64_t of_ways = 0;
      for (const Way& way : ways_)
        if (way.is_fetch_ == is_fetch) of_ways += way.hits_[TlbKey::code_of(PageSize(size))];
      l1_stats(is_fetch).hits_by[size] += of_ways - std::exchange(hits_of_ways_[is_fetch][size], of_ways);
    }
  stats_.walks = w.walks, stats_.walks_merged = w.walks_merged, stats_.walks_repeated = w.walks_repeated;
  stats_.walk_refs = w.walk_refs, stats_.cache_hits = w.cache_hits;
  stats_.walk_cycles = std::uint64_t(w.walk_subcycles / Clock::kSubcycles);
  stats_.walk_active_cycles = std::uint64_t(w.active_subcycles / Clock::kSubcycles);
  stats_.stall_cycles = std::uint64_t(stall_subcycles_ / Clock::kSubcycles);
  for (TlbStats* level : {&stats_.l1i, &stats_.l1d, &stats_.l2, &stats_.l2i, &stats_.l2d})
    level->hits = level->hits_by[0] + level->hits_by[1] + level->hits_by[2];
  return stats_;
}

}  // namespace collapsar
