#include "models/mmu/walker.h"

#include <algorithm>

namespace collapsar {

namespace {

std::uint64_t number_at(VirtAddr va, unsigned level) { return va.value >> (kPageShift + 9 * (level - 1)); }

// The table of `level` on the way to `va`; no table if the way ends above it.
PageTable::Cursor table_at(const PageTable& table, VirtAddr va, unsigned level) {
  return level == table.levels() ? table.root() : table.cursor_at(va, level + 1);
}

bool is_allowed(const WalkRequest& request, Pte leaf) {
  return (leaf.writable() || !request.is_write) && (leaf.executable() || !request.is_execute);
}

}  // namespace

// --- paging-structure caches ---

bool PagingStructureCache::lookup(Asid asid, std::uint64_t number) {
  const auto found = std::find_if(items_.begin(), items_.end(),
                                  [&](const Item& item) { return item.number == number && item.asid == asid; });
  if (found == items_.end()) return false;
  std::rotate(items_.begin(), found, found + 1);
  return true;
}

void PagingStructureCache::insert(Asid asid, std::uint64_t number) {
  if (entries_ == 0 || lookup(asid, number)) return;
  if (items_.size() == entries_) items_.pop_back();
  items_.insert(items_.begin(), {asid, number});
}

void PagingStructureCache::erase(Asid asid, std::uint64_t number) {
  std::erase_if(items_, [&](const Item& item) { return item.number == number && item.asid == asid; });
}

void PagingStructureCache::flush(Asid asid) {
  std::erase_if(items_, [&](const Item& item) { return item.asid == asid; });
}

// --- requests ---

// One walk in progress.
struct Walker::Walk {
  explicit Walk(Walker* walker) : owner(walker) {}
  void begun() { owner->read_memory(*this); }
  void arrived() { owner->entry_arrived(*this); }

  Walker* owner;
  Event begun_ = event<&Walk::begun>(this, "walker.begun", Phase::completion);  // without caches
  Event arrived_ = event<&Walk::arrived>(this, "walker.entry_arrived", Phase::completion);
  LineFetch fetch;
  DramRequest request;
  WalkRequest* first = nullptr;  // whom it serves, with those that joined; nullptr: free
  unsigned level = 0;            // of the entry being read
  std::int64_t began = 0;        // sub-cycle
  Time read_at{};                // the current read begins, which may be later
  bool must_restart = false;     // a flush came in the middle
};

Walker::Walker(EventQueue& queue, const MmuConfig& config, std::uint32_t cpu, CacheHierarchy* caches, Dram& dram,
               Clock clock)
    : queue_(queue), config_(config), cpu_(cpu), caches_(caches), dram_(dram), clock_(clock) {
  for (std::uint32_t i = 0; i < config.walkers; ++i) walks_.push_back(std::make_unique<Walk>(this));
  const WalkCacheConfig& c = config.walk_cache;
  for (const std::uint32_t entries : {0U, 0U, c.pd, c.pdpt, c.pml4, c.pml5}) caches_by_level_.emplace_back(entries);
}

Walker::~Walker() {
  for (const auto& walk : walks_) queue_.cancel(walk->begun_), queue_.cancel(walk->arrived_);
}

void Walker::submit(WalkRequest& request) {
  request.next_joined = request.next_waiting = nullptr;
  if (!request.repeated && join(request)) return;
  if (Walk* const walk = free_walk()) return start(*walk, request);
  (last_waiting_ ? last_waiting_->next_waiting : first_waiting_) = &request;
  last_waiting_ = &request;
}

// Adds the request to a walk of its page, under way or waiting. False: there is none.
bool Walker::join(WalkRequest& request) {
  WalkRequest* host = nullptr;
  for (const auto& walk : walks_)
    if (walk->first && walk->first->is_for_page_of(request)) host = walk->first;
  for (WalkRequest* waiting = first_waiting_; waiting && !host; waiting = waiting->next_waiting)
    if (waiting->is_for_page_of(request)) host = waiting;
  if (!host) return false;
  while (host->next_joined) host = host->next_joined;
  host->next_joined = &request;
  ++stats_.walks_merged;
  return true;
}

Walker::Walk* Walker::free_walk() {
  for (const auto& walk : walks_)
    if (!walk->first) return walk.get();
  return nullptr;
}

void Walker::start_waiting() {
  while (first_waiting_) {
    Walk* const walk = free_walk();
    if (!walk) return;
    WalkRequest& request = *first_waiting_;
    first_waiting_ = request.next_waiting;
    if (!first_waiting_) last_waiting_ = nullptr;
    start(*walk, request);
  }
}

// --- one walk ---

void Walker::start(Walk& walk, WalkRequest& request) {
  ++stats_.walks;
  if (request.repeated) ++stats_.walks_repeated;
  walk.read_at = std::max(queue_.now(), request.begins);
  walk.first = &request, walk.must_restart = false, walk.began = clock_.first_not_before(walk.read_at);
  if (busy_++ == 0) active_since_ = walk.began;
  begin_at_cached_level(walk);
  read(walk);
}

// The deepest paging-structure cache that knows the address tells where the walk begins. An entry whose table is gone
// counts as a miss.
void Walker::begin_at_cached_level(Walk& walk) {
  const auto [table, asid] = walk.first->space;
  const VirtAddr va = walk.first->va;
  for (unsigned level = 2; level <= config_.levels; ++level) {
    if (!caches_by_level_[level].lookup(asid, number_at(va, level))) continue;
    if (!table->cursor_at(va, level).table) {
      caches_by_level_[level].erase(asid, number_at(va, level));
      continue;
    }
    ++stats_.cache_hits[level];
    walk.level = level - 1;
    return;
  }
  walk.level = config_.levels;
}

void Walker::read(Walk& walk) {
  const PageTable& table = *walk.first->space.table;
  const PageTable::Cursor at = table_at(table, walk.first->va, walk.level);
  SIM_ASSERT(at.table, "walk of {:#x} reads a table of level {} that is not there", walk.first->va.value, walk.level);
  ++stats_.walk_refs;
  const PhysAddr address = table.entry_address(at, walk.first->va);
  if (!caches_) {
    walk.request.address = address;
    if (walk.read_at > queue_.now()) return queue_.schedule(walk.begun_, walk.read_at);
    return read_memory(walk);
  }
  const CacheEntry entry = config_.walk_entry == WalkEntry::l1d ? CacheEntry::l1d : CacheEntry::l2;
  const CacheHierarchy::Lookup found = caches_->access(cpu_, address, false, entry);
  if (found.level == CacheHierarchy::kMemory)
    return caches_->fetch(walk.fetch, cpu_, address, false, entry, walk.arrived_, walk.read_at);
  const std::int64_t from = clock_.first_not_before(walk.read_at);
  queue_.schedule(walk.arrived_, clock_.time_of(from + std::int64_t{found.latency} * Clock::kSubcycles));
}

void Walker::read_memory(Walk& walk) {
  walk.request.done = &walk.arrived_;
  dram_.submit(walk.request);
}

// The value counts as it is when the read completes.
void Walker::entry_arrived(Walk& walk) {
  const WalkRequest& request = *walk.first;
  walk.read_at = queue_.now();
  PageTable& table = *request.space.table;
  const PageTable::Cursor at = table_at(table, request.va, walk.level);
  if (walk.must_restart || !at.table) {
    walk.must_restart = false, ++stats_.restarts;
    begin_at_cached_level(walk);
    return read(walk);
  }
  Pte& entry = table.entry(at, request.va);
  const bool is_leaf = walk.level == 1 || (walk.level <= 3 && entry.huge());
  if (!entry.hw_present() || is_leaf) return leaf_arrived(walk, entry);
  caches_by_level_[walk.level].insert(request.space.asid, number_at(request.va, walk.level));
  --walk.level;
  read(walk);
}

// The walk ends at an entry that is a leaf or not present: each request gets its own answer.
void Walker::leaf_arrived(Walk& walk, Pte& leaf) {
  for (WalkRequest* r = walk.first; r; r = r->next_joined) {
    r->fault = !leaf.hw_present() || !is_allowed(*r, leaf);
    if (!r->fault) leaf.set(r->is_write ? Pte::kAccessed | Pte::kDirty : Pte::kAccessed);
  }
  for (WalkRequest* r = walk.first; r; r = r->next_joined)
    r->entry = r->fault ? TlbEntry{} : TlbEntry{leaf, PageSize(walk.level - 1)};
  finish(walk);
}

void Walker::finish(Walk& walk) {
  const std::int64_t now = clock_.first_not_before(queue_.now());
  stats_.walk_subcycles += now - walk.began;
  if (observer_) observer_->walk_done(walk.first->space.asid, walk.first->va, now - walk.began);
  if (--busy_ == 0) stats_.active_subcycles += now - active_since_;
  WalkRequest* answered = std::exchange(walk.first, nullptr);
  const bool is_only_answer = !answered->next_joined && !first_waiting_;
  if (is_only_answer && queue_.is_next(answered->done->phase())) return queue_.run_here(*answered->done);
  while (answered) {
    WalkRequest& request = *std::exchange(answered, answered->next_joined);
    queue_.schedule(*request.done, std::max(queue_.now(), request.begins));
  }
  start_waiting();
}

void Walker::count_fixed(const WalkRequest& request, std::int64_t subcycles, std::int64_t active) {
  ++stats_.walks;
  if (request.repeated) ++stats_.walks_repeated;
  stats_.walk_subcycles += subcycles, stats_.active_subcycles += active;
  if (observer_) observer_->walk_done(request.space.asid, request.va, subcycles);
}

// --- flushes ---

void Walker::flush(Asid asid) {
  for (PagingStructureCache& cache : caches_by_level_) cache.flush(asid);
  for (const auto& walk : walks_)
    if (walk->first && walk->first->space.asid == asid) walk->must_restart = true;
}

void Walker::flush_all() {
  for (PagingStructureCache& cache : caches_by_level_) cache.clear();
  for (const auto& walk : walks_)
    if (walk->first) walk->must_restart = true;
}

}  // namespace collapsar
