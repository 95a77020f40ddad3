#include "models/mmu/mmu_config.h"

#include <algorithm>
#include <stdexcept>

namespace collapsar {

namespace {

using Arrays = std::vector<TlbArrayConfig>;

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> text, Args&&... args) {
  throw std::invalid_argument(fmt::format(text, std::forward<Args>(args)...));
}

bool holds(const TlbArrayConfig& array, PageSize size, bool is_store) {
  return array.serves(is_store) && array.ways_for(size) > 0;
}

// Arrays that take the same pages act as one, with one set index.
void validate_together(std::string_view level, const Arrays& arrays, PageSize size, bool is_store) {
  const TlbArrayConfig* first = nullptr;
  for (const TlbArrayConfig& array : arrays) {
    if (!holds(array, size, is_store)) continue;
    if (!first) first = &array;
    if (array.sets != first->sets)
      fail("{}: sets: {} and {} in arrays that both take {} pages; they act as one, so both need the same", level,
           first->sets, array.sets, suffix(size));
  }
}

void validate_level(std::string_view level, const Arrays& arrays) {
  for (const TlbArrayConfig& array : arrays) try {
      array.validate();
    } catch (const std::invalid_argument& error) {
      fail("{}: {}", level, error.what());
    }
  for (const bool is_store : {false, true})
    for (const PageSize size : {PageSize::k4K, PageSize::k2M, PageSize::k1G})
      validate_together(level, arrays, size, is_store);
}

void validate_takes_4k(std::string_view level, const Arrays& arrays, bool is_store) {
  for (const TlbArrayConfig& array : arrays)
    if (holds(array, PageSize::k4K, is_store)) return;
  fail("{}: no array takes 4K pages of {} references", level, is_store ? "store" : "load");
}

TlbArrayConfig array_of(std::vector<PageSize> pages, std::uint32_t sets, std::uint32_t ways) {
  TlbArrayConfig array;
  array.sets = sets;
  for (const PageSize size : {PageSize::k4K, PageSize::k2M, PageSize::k1G}) array.ways[size] = ways;
  array.pages = std::move(pages);
  return array;
}

}  // namespace

std::uint32_t TlbArrayConfig::ways_for(PageSize size) const {
  const auto found = ways.find(size);
  const bool is_held = std::find(pages.begin(), pages.end(), size) != pages.end();
  return is_held && found != ways.end() ? found->second : 0;
}

std::uint32_t TlbArrayConfig::total_ways() const {
  std::uint32_t most = 0;
  for (const PageSize size : pages) most = std::max(most, ways_for(size));
  return most;
}

void TlbArrayConfig::validate() const {
  if (pages.empty()) fail("pages: none; [4K], say");
  for (const PageSize size : pages) {
    if (std::count(pages.begin(), pages.end(), size) > 1) fail("pages: {} twice; name each size once", suffix(size));
    if (ways_for(size) == 0) fail("ways: none for {}; every page size of an array needs at least 1", suffix(size));
  }
  if (sets == 0 || sets > AssocCache::kMostSets) fail("sets: {}; 1 to {}", sets, AssocCache::kMostSets);
  if (total_ways() > AssocCache::kMostWays) fail("ways: {}; at most {}", total_ways(), AssocCache::kMostWays);
}

// configs/machines/skylake-sp.yaml has the source of each number.
MmuConfig::MmuConfig() {
  using enum PageSize;
  l1i = {array_of({k4K}, 16, 8), array_of({k2M}, 1, 8)};
  l1d = {array_of({k4K}, 16, 4), array_of({k2M}, 8, 4), array_of({k1G}, 1, 4)};
  l2 = {array_of({k4K, k2M}, 128, 12), array_of({k1G}, 4, 4)};
}

void MmuConfig::validate() const {
  if (levels != 4 && levels != 5) fail("levels: {}; a page table has 4 or 5", levels);
  if (ideal && fixed_walk)
    fail("fixed_walk: found {}, with ideal: true there are no walks; expected none", *fixed_walk);
  if (walkers == 0 || walkers > 64) fail("walkers: {}; 1 to 64", walkers);
  if (split_l2() && (l2i.empty() || l2d.empty()))
    fail("{}: a split second level needs both", l2i.empty() ? "l2i" : "l2d");
  for (const auto& [name, arrays] : {std::pair{"l1i", &l1i}, {"l1d", &l1d}, {"l2", &l2}, {"l2i", &l2i}, {"l2d", &l2d}})
    validate_level(name, *arrays);
  validate_takes_4k("l1i", l1i, false);
  for (const bool is_store : {false, true}) validate_takes_4k("l1d", l1d, is_store);
}

}  // namespace collapsar
