// ConfigNode: one value of a configuration, and where it was written.
//
// Models:      scalars, lists and maps in the order of their file; keys of a map are unique. No YAML types: a scalar is
//              the text that was written, and the field that reads it decides what it means.
// Owns:        its children.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/error.h"

namespace collapsar {

// Where something was written. Line and column count from 1; line 0: `file` alone says it ("--set a.b=1").
struct Place {
  std::string file;
  int line = 0;
  int column = 0;
  std::string text() const;  // "machine.yaml:2:3", "--set a.b=1", "(default)"
};

// Throws ConfigError "place: path: message"; an empty path is left out.
[[noreturn]] void config_error(const Place& place, std::string_view path, std::string_view message);

struct ConfigNode {
  enum class Kind : std::uint8_t { scalar, list, map };

  Kind kind = Kind::map;
  bool quoted = false;               // scalar: written in quotes, so never `none`, a number or a truth value
  std::string key;                   // own name in the parent map; empty in a list and at the top
  std::string text;                  // scalar
  std::vector<ConfigNode> children;  // list and map
  Place place;                       // of the value
  Place key_place;                   // of the key

  static ConfigNode scalar(std::string text, Place place = {});
  static ConfigNode list(Place place = {});
  static ConfigNode map(Place place = {});

  bool is_scalar() const { return kind == Kind::scalar; }
  bool is_list() const { return kind == Kind::list; }
  bool is_map() const { return kind == Kind::map; }
  bool is_none() const { return is_scalar() && !quoted && text == "none"; }
  // "a map", "a list" or the text itself, for messages.
  std::string found() const;

  // The entry `key` of a map; nullptr if there is none. `key` is taken whole, dots and all.
  const ConfigNode* child(std::string_view name) const;
  ConfigNode* child(std::string_view name);
  // The value at a dotted path, "kernel.thp.enabled"; nullptr if there is none. An empty path is the node itself.
  const ConfigNode* find(std::string_view path) const;
  // Puts `node` at a dotted path; maps on the way are made where missing, and replace what is not a map.
  void set(std::string_view path, ConfigNode node);
  // Takes the entry `key` out of a map. Returns false if there is none.
  bool erase(std::string_view name);
  // Lays `over` on top: maps are merged key by key; any other pair is replaced whole, lists too.
  void merge(ConfigNode over);

  // Same values, wherever they were written. The order of the keys counts.
  bool operator==(const ConfigNode& other) const;
};

// YAML text that parses back to an equal node. Maps in block style, lists of scalars on one line.
std::string to_yaml(const ConfigNode& node);
// The same on one line: `[{pages: [4K], sets: 16}]`.
std::string to_yaml_line(const ConfigNode& node);

// The candidate that differs from `word` by at most two edits, the nearest and then the first; "" if there is none.
std::string closest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace collapsar
