"""What a reader of the embedded ClickHouse may name: lists of what is allowed, each with its reason.

Whatever is on no list is refused, and so is a function, table or setting of a newer engine until somebody has
looked at it.
"""

from __future__ import annotations

from collections.abc import Mapping


def by_name(names: Mapping[str, str]) -> dict[str, str]:
    """Return reasons by name, of names by reason."""
    return {name: reason for reason, text in names.items() for name in text.split()}


#: Kinds of nodes of the parser's tree: where a statement may begin.
HEADS = frozenset(
    {"SelectWithUnionQuery", "ExplainQuery", "ShowTablesQuery", "ShowColumnsQuery", "ShowIndexesQuery"}
    | {"UseQuery", "SetQuery", "KillQueryQuery"}
)
#: What may be below: tables, functions, settings and parameters are checked by name.
PARTS = frozenset(
    {"SelectWithUnionQuery", "SelectIntersectExceptQuery", "SelectQuery", "ExpressionList", "Subquery"}
    | {"TablesInSelectQuery", "TablesInSelectQueryElement", "TableExpression", "TableJoin", "ArrayJoin"}
    | {"Identifier", "TableIdentifier", "Function", "Literal", "QueryParameter", "SampleRatio", "SetQuery"}
    | {"Asterisk", "QualifiedAsterisk", "ColumnsRegexpMatcher", "ColumnsListMatcher"}
    | {"QualifiedColumnsRegexpMatcher", "QualifiedColumnsListMatcher", "ColumnsTransformerList"}
    | {"ColumnsApplyTransformer", "ColumnsExceptTransformer", "ColumnsReplaceTransformer"}
    | {"ColumnsReplaceTransformerReplacement", "OrderByElement", "InterpolateElement", "WithElement"}
    | {"WindowListElement", "WindowDefinition"}
)
EXPLAINS = frozenset(
    {"EXPLAIN", "EXPLAIN AST", "EXPLAIN SYNTAX", "EXPLAIN PIPELINE", "EXPLAIN ESTIMATE", "EXPLAIN QUERY TREE"}
)
#: Functions whose second argument may be a table.
IN_FUNCTIONS = frozenset(
    f"{scope}{negated}{null}in{ending}"
    for scope in ("", "global")
    for negated in ("", "not")
    for null in ("", "null")
    for ending in ("", "ignoreset")
)

#: Table functions that make their rows out of their arguments, in lower case.
TABLE_FUNCTIONS = by_name(
    {
        "numbers in order": "numbers numbers_mt generateseries generate_series primes",
        "rows without content": "zeros zeros_mt null",
        "random rows": "generaterandom",
        "rows that stand in the statement; the second is what FROM (VALUES ...) becomes": "values "
        "sqlstandardvalues",
        "a subquery, whose parts are checked like all others": "view",
        "a table function over and over, which is checked as if it stood there": "loop",
        "rows that stand in the statement, in a format; no setting may name a schema's file": "format",
    }
)

#: Those with a text of columns among their arguments: which one it is, and of how many at least.
STRUCTURED = {"values": (0, 1), "null": (0, 1), "generaterandom": (0, 1), "format": (1, 3)}

#: Tables of `system` that describe the engine and the tables. Of others' statements, of files' contents, of
#: users and the network they say nothing; some columns have paths of the data folder.
SYSTEM_TABLES = by_name(
    {
        "rows out of nothing": "one numbers numbers_mt zeros zeros_mt",
        "what is there: every client lists it": "tables columns databases constraints projections "
        "data_skipping_indices dictionaries",
        "sizes and states of tables": "parts parts_columns view_refreshes mutations merges",
        "completion in editors": "functions table_functions aggregate_function_combinators keywords "
        "data_type_families completions formats table_engines database_engines documentation",
        "facts of the engine": "collations codecs time_zones licenses contributors build_options tokenizers",
        "clients read their defaults": "settings settings_changes merge_tree_settings",
        "counts of the engine, for dashboards": "metrics events warnings",
        "empty here; Grafana, dbt and editors ask for them": "clusters macros current_roles enabled_roles",
    }
)

#: Databases whose tables are views over `system.tables` and `.columns`.
STANDARD_CATALOGS = ("information_schema", "INFORMATION_SCHEMA")

#: Categories of `system.functions` that only calculate.
FUNCTION_CATEGORIES = frozenset(
    {"Aggregate Functions", "Arithmetic", "Arrays", "Bit", "Bitmap", "Comparison", "Conditional"}
    | {"Dates and Times", "Distance", "Encoding", "Encryption", "Financial", "Geo", "Geo Polygon", "Hash"}
    | {"IP Address", "JSON", "Logical", "Map", "Mathematical", "Null", "NumericIndexedVector", "QBit"}
    | {"Random Number", "Rounding", "String", "String Replacement", "String Search", "String Splitting"}
    | {"Time Window", "Tuple", "Type Conversion", "URL", "UUID"}
)
#: Functions of the other categories, in lower case. Of those that are on no list, `dictGet...`, `joinGet` and
#: `naiveBayesClassifier` read what the writer has loaded, as does `assignCentroid` of a dictionary; `AI...`
#: asks other servers, `region...` reads files, `generateSerialID` counts in a Keeper, `logTrace` writes a
#: log, `filesystem...` and `tid` tell of the machine; `fuzzQuery` and `formatQueryFromJSON` test the engine.
FUNCTIONS = by_name(
    {
        "parts of the language": "lambda exists untuple grouping casewithexpression _cast",
        "only calculate": "bar bytesize countdigits digits identity ignore materialize transform throwif "
        "indexhint isconstant isdecimaloverflow visiblewidth finalizeaggregation initializeaggregation "
        "minsamplesizecontinuous minsamplesizeconversion macnumtostring macstringtonum macstringtooui "
        "colorsrgbtooklch coloroklchtosrgb colorsrgbtooklab coloroklabtosrgb flipcoordinates "
        "blockserializedsize partitionid icebergbucket icebergtruncate mergetreepartinfo "
        "ismergetreepartcoveredby",
        "regressions and clusters; their models are values of a statement or column": "evalmlmethod "
        "stochasticlinearregression stochasticlogisticregression hierarchicalkmeans",
        "series": "seriesdecomposestl seriesoutliersdetecttukey timeseriesrange timeseriesfromgrid "
        "timeseriesmetrictypetosuffixes timeseriesprometheusvaluetostring",
        "tags of series, kept as long as the statement runs": "timeseriescopytag timeseriescopytags "
        "timeseriesextracttag timeseriesgrouptosamplingkey timeseriesgrouptotags timeseriesidtogroup "
        "timeseriesidtotags timeseriesidtotagsgroup timeseriesjointags timeseriesremovealltagsexcept "
        "timeseriesremovetag timeseriesremovetags timeseriesreplacetag timeseriesstoretags "
        "timeseriestagsgrouptotags timeseriestagstogroup timeseriestagstomap "
        "timeseriesthrowduplicateseriesif",
        "sizes and times for people": "formatreadablesize formatreadabledecimalsize formatreadablequantity "
        "formatreadabletimedelta parsetimedelta parsereadablesize parsereadablesizeornull "
        "parsereadablesizeorzero parseiso8601duration",
        "types and their parts": "totypename tocolumntypename dumpcolumnstructure varianttype variantelement "
        "defaultvalueofargumenttype defaultvalueoftypename getsizeofenumtype getsubcolumn "
        "gettypeserializationstreams lowcardinalityindices lowcardinalitykeys",
        "calculate along the rows": "runningdifference runningdifferencestartingwithfirstvalue neighbor "
        "runningaccumulate runningconcurrency blocknumber blocksize rownumberinblock rownumberinallblocks",
        "texts of statements, which they do not run": "formatquery formatqueryornull formatquerysingleline "
        "formatquerysinglelineornull normalizequery normalizequerykeepnames normalizedqueryhash "
        "normalizedqueryhashkeepnames highlightquery tokenizequery obfuscatequery obfuscatequerywithseed",
        "texts of structures": "generaterandomstructure structuretocapnprotoschema structuretoprotobufschema",
        "which server this is: clients ask when they connect": "version revision buildid uptime displayname "
        "hostname fqdn tcpport errorcodetoname globalvariable shardnum shardcount",
        "who and where one is": "currentdatabase currentschemas currentuser currentroles currentqueryid "
        "queryid initialqueryid initialquerystarttime connectionid authenticateduser pgtableisvisible "
        "pggetuserbyid currentprofiles enabledprofiles defaultprofiles enabledroles defaultroles",
        "as the tables of the settings": "getsetting getsettingordefault getmergetreesetting",
        "as system.columns, of a table that may be read; it could ask another server, and open a file, so "
        "its names must stand there": "hascolumnintable",
        "seconds at most, within the time that a statement has": "sleep sleepeachrow",
    }
)

#: Aggregate functions among them, whose names may end with combinators.
AGGREGATING = frozenset({"stochasticlinearregression", "stochasticlogisticregression", "hierarchicalkmeans"})

#: Settings with a text for a value, which may be a path, an address or an expression; these are none.
TEXT_SETTINGS = by_name(
    {
        "names": "session_timezone log_comment query_cache_tag default_format "
        "output_format_orc_writer_time_zone_name input_format_orc_reader_time_zone_name",
        "names of what is built in": "count_distinct_implementation errors_output_format "
        "output_format_avro_codec output_format_pretty_grid_charset",
        "how values are written": "bool_true_representation bool_false_representation "
        "format_csv_null_representation format_tsv_null_representation format_custom_field_delimiter "
        "format_custom_result_after_delimiter format_custom_result_before_delimiter "
        "format_custom_row_after_delimiter format_custom_row_before_delimiter "
        "format_custom_row_between_delimiter format_json_object_each_row_column_for_object_name "
        "output_format_avro_string_column_pattern output_format_sql_insert_table_name",
        "names of indexes": "force_data_skipping_indices ignore_data_skipping_indices "
        "force_optimize_projection_name preferred_optimize_projection_name",
    }
)
#: Types of `system.settings` whose values may be texts of any kind.
TEXT_TYPES = frozenset({"String", "Map", "URI"})
#: Settings of other types that are refused all the same.
REFUSED_SETTINGS: Mapping[str, str] = {
    "allow_ddl": "who only reads changes nothing",
    "allow_distributed_ddl": "who only reads changes nothing",
    "priority": "inserts come first",
    "workload": "inserts come first",
    "max_untracked_memory": "what it takes would not be counted",
    "allow_introspection_functions": "they show the process",
    "dialect": "another language would not be checked",
    "enable_json_ast_dialect": "another language would not be checked",
    "allow_experimental_polyglot_dialect": "another language would not be checked",
    **dict.fromkeys(
        ("max_ast_depth", "max_ast_elements", "max_parser_depth", "max_parser_backtracks"),
        "it bounds the check itself",
    ),
}
