// PlainTlb: what a TLB hierarchy hits and misses, functionally, for tests to compare with.
//
// Shares nothing with models/: it knows what the design says of look-ups, fills and recency, and keeps every set as a
// row of ways with the moment of their last use.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace collapsar::test {

inline constexpr unsigned kSizes = 3;
inline constexpr unsigned kShift[kSizes] = {12, 21, 30};

// A page of an address space. Never 0.
inline std::uint64_t plain_key(std::uint32_t space, unsigned size, std::uint64_t number) {
  return std::uint64_t{space} << 48 | std::uint64_t{size + 1} << 46 | number;
}

struct PlainArray {
  std::uint64_t sets = 1;
  unsigned ways[kSizes] = {0, 0, 0};  // that a size may use
  bool loads = true, stores = true;   // fetches count as loads

  struct Way {
    std::uint64_t key = 0;  // 0: free
    std::uint64_t last_use = 0;
  };
  std::vector<Way> all;  // set after set
  unsigned row_length() const { return std::max({ways[0], ways[1], ways[2]}); }
  Way* row(std::uint64_t number) {
    all.resize(sets * row_length());
    return &all[number % sets * row_length()];
  }
};

struct PlainLevel {
  std::vector<PlainArray> arrays;
  std::array<std::uint64_t, kSizes> hits{}, misses{};
  std::uint64_t clock = 0;

  // Arrays that take the page act as one: the bits above the set index pick.
  PlainArray* array_of(std::uint64_t va, unsigned size, bool is_store) {
    std::array<PlainArray*, 8> takers{};
    std::size_t count = 0;
    for (PlainArray& a : arrays)
      if (a.ways[size] > 0 && (is_store ? a.stores : a.loads)) takers[count++] = &a;
    if (count == 0) return nullptr;
    return takers[(va >> kShift[size]) / takers[0]->sets % count];
  }
  bool look_up(std::uint64_t va, unsigned size, bool is_store, std::uint64_t key) {
    if (PlainArray* a = array_of(va, size, is_store)) {
      PlainArray::Way* row = a->row(va >> kShift[size]);
      for (unsigned w = 0; w < a->row_length(); ++w)
        if (row[w].key == key) return row[w].last_use = ++clock, ++hits[size], true;
    }
    return ++misses[size], false;
  }
  void fill(std::uint64_t va, unsigned size, bool is_store, std::uint64_t key) {
    PlainArray* a = array_of(va, size, is_store);
    if (!a) return;
    PlainArray::Way* row = a->row(va >> kShift[size]);
    PlainArray::Way* victim = &row[0];
    for (unsigned w = 0; w < a->ways[size]; ++w) {
      if (row[w].key == key) {
        victim = &row[w];
        break;
      }
      if (victim->key == 0) continue;
      if (row[w].key == 0 || row[w].last_use < victim->last_use) victim = &row[w];
    }
    *victim = {key, ++clock};
  }
  template <class Goes>
  void drop(Goes goes) {
    for (PlainArray& a : arrays)
      for (PlainArray::Way& way : a.all)
        if (way.key != 0 && goes(way.key)) way = {};
  }
};

struct PlainTlb {
  PlainLevel l1i, l1d, l2i, l2d;
  bool is_split = false, has_asids = true;
  std::uint32_t running = 0;
  std::unordered_map<std::uint64_t, bool> is_dirty;
  std::uint64_t walks = 0, dirty_walks = 0;

  void run(std::uint32_t space) {
    if (space != running && !has_asids) drop([](std::uint64_t) { return true; });
    running = space;
  }
  // Returns whether a level had it.
  bool look_up_and_fill(std::uint64_t va, unsigned size, bool is_fetch, bool is_store) {
    const std::uint64_t key = plain_key(running, size, va >> kShift[size]);
    PlainLevel &l1 = is_fetch ? l1i : l1d, &l2 = is_split && is_fetch ? l2i : l2d;
    if (l1.look_up(va, size, is_store, key)) return true;
    const bool is_hit = l2.look_up(va, size, is_store, key);
    if (!is_hit) ++walks, l2.fill(va, size, is_store, key);
    l1.fill(va, size, is_store, key);
    return is_hit;
  }
  void access(std::uint64_t va, unsigned size, bool is_fetch, bool is_store) {
    const bool is_hit = look_up_and_fill(va, size, is_fetch, is_store);
    if (!is_store) return;
    bool& dirty = is_dirty[plain_key(running, size, va >> kShift[size])];
    if (is_hit && !dirty) ++walks, ++dirty_walks;
    dirty = true;
  }
  // Up to 33 pages of 4 KiB go one by one, more take the whole address space with them.
  void flush(std::uint32_t space, std::uint64_t start, std::uint64_t end) {
    const bool is_full = (end - start + 4095) / 4096 > 33;
    drop([=](std::uint64_t key) {
      const auto size = unsigned(key >> 46 & 3) - 1;
      const std::uint64_t first = (key & ((1ULL << 46) - 1)) << kShift[size], last = first + (1ULL << kShift[size]);
      return key >> 48 == space && (is_full || (first < end && start < last));
    });
  }
  template <class Goes>
  void drop(Goes goes) {
    for (PlainLevel* level : {&l1i, &l1d, &l2i, &l2d}) level->drop(goes);
  }
};

}  // namespace collapsar::test
