# forkpool_embed(target file symbol): the bytes of a text file as `const char symbol[]`, with a NUL at the end, and
# `const unsigned long symbol_bytes` without it, compiled into the target. Made anew when the file changes.
# To use it in C:
#     extern const char symbol[];
#     extern const unsigned long symbol_bytes;
# This file is also the script that does it: cmake -DINPUT= -DOUTPUT= -DSYMBOL= -P embed.cmake
if(CMAKE_SCRIPT_MODE_FILE)
  file(READ ${INPUT} hex HEX)
  string(LENGTH "${hex}" digits)
  math(EXPR bytes "${digits} / 2")
  # Characters, not numbers: their value is right whether char is signed or not. No literal: C11 ends them at 4,095.
  string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," array "${hex}")
  file(WRITE ${OUTPUT}
    "/* Made from ${INPUT} by cmake/embed.cmake. */\n"
    "extern const char ${SYMBOL}[];\nextern const unsigned long ${SYMBOL}_bytes;\n"
    "const unsigned long ${SYMBOL}_bytes = ${bytes};\nconst char ${SYMBOL}[] = {\n${array}\n'\\0'};\n")
  return()
endif()

set(FORKPOOL_EMBED ${CMAKE_CURRENT_LIST_FILE})

function(forkpool_embed target file symbol)
  get_filename_component(input ${file} ABSOLUTE)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/embed/${symbol}.c)
  add_custom_command(
    OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DINPUT=${input} -DOUTPUT=${output} -DSYMBOL=${symbol} -P ${FORKPOOL_EMBED}
    DEPENDS ${input} ${FORKPOOL_EMBED}
    COMMENT "Embedding ${file}"
    VERBATIM)
  target_sources(${target} PRIVATE ${output})
endfunction()

forkpool_embed(fp_server server/store/schema.sql store_schema_sql)
forkpool_embed(fp_server server/store/schema_2.sql store_schema_2_sql)
forkpool_embed(fp_server server/store/schema_3.sql store_schema_3_sql)
forkpool_embed(fp_server server/store/schema_4.sql store_schema_4_sql)
