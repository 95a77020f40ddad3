#include "sim/core/config.h"

#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>

namespace collapsar {

namespace {

constexpr std::size_t kMaxDepth = 64;  // the deepest map of design has 5 levels; keeps recursion small
constexpr const char* kNoValue = R"(no value; write {} for an empty map, [] for an empty list, "" for an empty text)";

// ---- One map entry, which may be a dotted path ----------------------------------------------------------------------

struct Key {
  std::string text;
  bool quoted = false;
  Place place;
};

// A map that no one wrote, only a dotted key that leads through it; it stands at its key.
bool is_implied(const ConfigNode& node) {
  return node.is_map() && node.place.line == node.key_place.line && node.place.column == node.key_place.column;
}

void add_entry(ConfigNode& map, ConfigNode entry, const std::string& path);

// Joins `entry` and `existing`, which have the same key in one file: only an implied map may meet another map.
void join_entry(ConfigNode& existing, ConfigNode entry, const std::string& path) {
  if (!existing.is_map() || !entry.is_map() || (!is_implied(existing) && !is_implied(entry)))
    config_error(entry.key_place, path,
                 fmt::format("repeated key; it stands at {} already", existing.key_place.text()));
  if (!is_implied(entry)) existing.place = entry.place, existing.key_place = entry.key_place;
  for (ConfigNode& child : entry.children) {
    const std::string child_path = join_path(path, child.key);
    add_entry(existing, std::move(child), child_path);
  }
}

void add_entry(ConfigNode& map, ConfigNode entry, const std::string& path) {
  if (ConfigNode* existing = map.child(entry.key)) join_entry(*existing, std::move(entry), path);
  else map.children.push_back(std::move(entry));
}

void check_key(const Key& key) {
  const std::string_view text = key.text;
  if (text.empty()) config_error(key.place, "", "an empty key; write a name");
  if (key.quoted) return;
  if (text.front() == '.' || text.back() == '.' || text.find("..") != std::string_view::npos)
    config_error(key.place, text, "a key with an empty part; write outer.inner");
  if (static_cast<std::size_t>(std::count(text.begin(), text.end(), '.')) >= kMaxDepth)
    config_error(key.place, "", fmt::format("a key of more than {} parts", kMaxDepth));
}

// The entry "a.b.c: value" as the entry "a" with the maps that lead to the value. Requires: check_key(key).
ConfigNode wrap(const Key& key, ConfigNode value) {
  const std::size_t dot = key.quoted ? std::string::npos : key.text.rfind('.');
  value.key = dot == std::string::npos ? key.text : key.text.substr(dot + 1);
  value.key_place = key.place;
  if (dot == std::string::npos) return value;
  ConfigNode outer = ConfigNode::map(key.place);
  outer.children.push_back(std::move(value));
  return wrap({key.text.substr(0, dot), false, key.place}, std::move(outer));
}

// ---- yaml-cpp's events -> ConfigNode --------------------------------------------------------------------------------

class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::string file, bool has_lines) : file_(std::move(file)), has_lines_(has_lines) {}

  bool has_root() const { return has_root_; }
  ConfigNode take_root() { return std::move(root_); }
  Place place_of(const YAML::Mark& mark) const {
    if (!has_lines_) return {file_, 0, mark.pos + 1};  // the column keeps places apart; it is not shown
    if (mark.is_null()) return {file_, 0, 0};
    return {file_, mark.line + 1, mark.column + 1};
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (std::exchange(started_, true)) refuse(mark, "a second document; one file holds one config");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    if (stack_.empty()) return;  // nothing but `---` or comments
    if (wants_key()) refuse(mark, "an empty key; write a name");
    const Frame& frame = stack_.back();
    config_error(frame.has_key ? frame.key.place : place_of(mark), path(), kNoValue);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse_anchor(mark); }
  void OnAnchor(const YAML::Mark& mark, const std::string&) override { refuse_anchor(mark); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& value) override {
    refuse_tag(mark, tag);
    const bool quoted = tag == "!";
    if (wants_key()) return take_key({value, quoted, place_of(mark)});
    ConfigNode node = ConfigNode::scalar(value, place_of(mark));
    node.quoted = quoted;
    attach(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, ConfigNode::list(place_of(mark)));
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(mark, tag, ConfigNode::map(place_of(mark)));
  }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    ConfigNode node;
    Key key;  // of the entry that comes next
    bool has_key = false;
  };

  bool wants_key() const { return !stack_.empty() && stack_.back().node.is_map() && !stack_.back().has_key; }

  void open(const YAML::Mark& mark, const std::string& tag, ConfigNode node) {
    refuse_tag(mark, tag);
    if (wants_key()) refuse(mark, fmt::format("{} as a key; a key is a name", node.found()));
    if (stack_.size() == kMaxDepth) refuse(mark, fmt::format("nested deeper than {} levels", kMaxDepth));
    stack_.push_back({std::move(node), {}, false});
  }
  void close() {
    ConfigNode node = std::move(stack_.back().node);
    stack_.pop_back();
    attach(std::move(node));
  }
  void take_key(Key key) {
    if (!key.quoted && key.text == "<<")
      config_error(key.place, path(), "merge keys (<<) are not supported; write the values out, or use base:");
    check_key(key);
    stack_.back().key = std::move(key);
    stack_.back().has_key = true;
  }
  void attach(ConfigNode node) {
    if (stack_.empty()) {
      root_ = std::move(node);
      has_root_ = true;
      return;
    }
    Frame& parent = stack_.back();
    if (parent.node.is_list()) return parent.node.children.push_back(std::move(node));
    parent.has_key = false;
    ConfigNode entry = wrap(parent.key, std::move(node));
    const std::string entry_path = join_path(path(), entry.key);
    add_entry(parent.node, std::move(entry), entry_path);
  }

  // Of the value that comes next.
  std::string path() const {
    std::string path;
    for (const Frame& frame : stack_) {
      if (frame.node.is_list()) path += fmt::format("[{}]", frame.node.children.size());
      else if (frame.has_key) path = join_path(path, frame.key.text);
    }
    return path;
  }
  [[noreturn]] void refuse(const YAML::Mark& mark, const std::string& message) const {
    config_error(place_of(mark), path(), message);
  }
  void refuse_anchor(const YAML::Mark& mark) const {
    refuse(mark, "anchors and aliases (& and *) are not supported; write the values out, or use base:");
  }
  void refuse_tag(const YAML::Mark& mark, const std::string& tag) const {
    if (!tag.empty() && tag != "?" && tag != "!")
      refuse(mark, fmt::format("tag {} is not supported; leave it out", tag));
  }

  std::string file_;
  bool has_lines_;
  bool started_ = false, has_root_ = false;
  ConfigNode root_;
  std::vector<Frame> stack_;
};

// yaml-cpp ends silently at some control characters, and its word on tabs has no place of its own.
void refuse_bad_characters(const std::string& text, const TreeBuilder& builder) {
  int line = 0, column = 0;
  bool in_margin = true, tab_in_margin = false;
  const auto refuse = [&](std::string_view message) {
    YAML::Mark mark;
    mark.line = line, mark.column = column;
    config_error(builder.place_of(mark), "", message);
  };
  for (char c : text) {
    if (c == '\n') {
      ++line, column = 0, in_margin = true, tab_in_margin = false;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t' && c != '\r') || byte == 0x7F)
      refuse(fmt::format("character {:#04x}; a config is UTF-8 text", byte));
    if (in_margin && c == '\t') tab_in_margin = true;
    else if (c != ' ' && c != '\r') {
      if (tab_in_margin && c != '#') refuse("a tab in the indentation; indent with spaces");
      in_margin = tab_in_margin = false;
    }
    ++column;
  }
}

// Looks at the syntax alone: what is not YAML at all is said first, and not as the odd tree that yaml-cpp made of it.
class SyntaxCheck : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

// One document at most: behind some broken ones yaml-cpp finds empty documents without end.
void check_syntax(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  SyntaxCheck check;
  parser.HandleNextDocument(check);
}

// The builder refuses a second document.
void build_tree(const std::string& text, TreeBuilder& builder) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  while (parser.HandleNextDocument(builder)) {
  }
}

// Returns false if the text holds nothing.
bool parse_document(std::string text, const std::string& file, bool has_lines, ConfigNode& root) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.erase(0, kByteOrderMark.size());
  TreeBuilder builder(file, has_lines);
  refuse_bad_characters(text, builder);
  text += text.ends_with('\n') ? "...\n" : "\n...\n";  // else yaml-cpp closes an open quote at the end by itself
  try {
    check_syntax(text);
    build_tree(text, builder);
  } catch (const YAML::DeepRecursion& error) {
    config_error(builder.place_of(error.mark), "", fmt::format("nested deeper than {} levels", kMaxDepth));
  } catch (const YAML::Exception& error) {
    config_error(builder.place_of(error.mark), "", fmt::format("not valid YAML: {}", error.msg));
  }
  if (builder.has_root()) root = builder.take_root();
  return builder.has_root();
}

}  // namespace

ConfigNode parse_yaml(const std::string& text, const std::string& file) {
  ConfigNode root = ConfigNode::map({file, 1, 1});
  if (parse_document(text, file, true, root) && !root.is_map()) wrong_kind(root, "", "a map");
  return root;
}

ConfigNode parse_set(const std::string& assignment) {
  const Place place{"--set " + assignment, 0, 0};
  const std::size_t equals = assignment.find('=');
  if (equals == std::string::npos) config_error(place, "", "no `=`; write --set a.b.c=value");
  const std::string path = assignment.substr(0, equals);
  const Key key{path, false, place};
  check_key(key);
  ConfigNode value;
  if (!parse_document(assignment.substr(equals + 1), place.file, false, value)) config_error(place, path, kNoValue);
  ConfigNode root = ConfigNode::map(place);
  root.children.push_back(wrap(key, std::move(value)));
  return root;
}

}  // namespace collapsar
