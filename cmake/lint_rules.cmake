# A rule is one file core/lint/rules/lNN_name.cpp that defines `Rule const& rule_lNN()`. The list of them
# is generated, since a static library drops what nobody names.
function(pgcarve_lint_rules target folder)
  file(GLOB files CONFIGURE_DEPENDS ${folder}/*.cpp)
  list(SORT files)
  set(declarations "")
  set(entries "")
  foreach(file ${files})
    get_filename_component(stem ${file} NAME_WE)
    string(SUBSTRING ${stem} 0 3 id)
    string(APPEND declarations "Rule const& rule_${id}();\n")
    string(APPEND entries "        &rule_${id}(),\n")
  endforeach()
  set(out ${CMAKE_CURRENT_BINARY_DIR}/lint_rules.cpp)
  file(GENERATE OUTPUT ${out} CONTENT
"// Generated from the files in core/lint/rules.
#include \"lint/rule.hpp\"

namespace pgcarve::lint {

${declarations}
std::vector<Rule const*> const& all_rules() {
    static std::vector<Rule const*> const all{
${entries}    };
    return all;
}

} // namespace pgcarve::lint
")
  target_sources(${target} PRIVATE ${files} ${out})
endfunction()
