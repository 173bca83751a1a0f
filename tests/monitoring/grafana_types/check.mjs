// Reads dashboards as JSON from stdin, and prints where they are not what Grafana's own types allow, a line each:
// unknown fields, missing ones, values of another type or outside an enumeration. By the types of the oldest Grafana that
// the dashboards are for, and of the newest.
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

const here = import.meta.dirname;
const TEN = join(here, "node_modules/grafana-10/dist");
const QUERY = `${TEN}/esm/raw/composable/prometheus/dataquery/x/PrometheusDataQuery_types.gen`; // newer ones have none
const EDITIONS = {
  "Grafana 10": { raw: `${TEN}/esm/raw`, dashboard: "dashboard_types.gen", paths: { "@grafana/schema": [`${TEN}/index.d.ts`] } },
  "Grafana 13": { raw: "@grafana/schema/dist/esm/raw", dashboard: "Dashboard_types.gen", paths: {} },
};
const PLAIN = `
// A file holds the values of an enumeration, not its names.
type Plain<T> =
  T extends string ? \`\${T}\`
  : T extends number ? (\`\${T}\` extends \`\${infer N extends number}\` ? N : T)
  : T extends (infer U)[] ? Plain<U>[]
  : T extends object ? { [K in keyof T]: Plain<T[K]> }
  : T;
// What a panel's plugin defines goes in where Panel itself takes anything.
type PanelOf<Options, Custom> = Omit<Panel, "options" | "targets" | "fieldConfig"> & {
  options: Partial<Options>; targets: PrometheusDataQuery[];
  fieldConfig: Omit<NonNullable<Panel["fieldConfig"]>, "defaults"> & {
    defaults: Omit<FieldConfig, "custom"> & { custom?: Custom } };
};
type Row = Plain<RowPanel>;
type Lines = Plain<PanelOf<LinesOptions, LinesConfig>>;
type Figure = Plain<PanelOf<StatOptions, Record<string, never>>>;
type Frame = Plain<Omit<Dashboard, "panels">>;
`;
const TYPES = { row: "Row", timeseries: "Lines", stat: "Figure" };

const dashboards = JSON.parse(readFileSync(0, "utf8"));
const folder = mkdtempSync(join(here, "check-"));
const problems = [];
for (const [name, { raw, dashboard, paths }] of Object.entries(EDITIONS)) {
  const file = join(folder, `${name.replace(" ", "-")}.ts`);
  writeFileSync(file, [imports(raw, dashboard), PLAIN, ...dashboards.flatMap(declarations)].join("\n"));
  const program = ts.createProgram([file], {
    strict: true, noEmit: true, skipLibCheck: true, types: [], paths,
    module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler,
  });
  for (const found of ts.getPreEmitDiagnostics(program)) {
    problems.push(`${name}: ${ts.flattenDiagnosticMessageText(found.messageText, "\n").replaceAll("\n", " ")}`);
  }
}
console.log(problems.join("\n"));

function imports(raw, dashboard) {
  return `
import type { Dashboard, FieldConfig, Panel, RowPanel } from "${raw}/dashboard/x/${dashboard}";
import type { FieldConfig as LinesConfig, Options as LinesOptions }
  from "${raw}/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";
import type { Options as StatOptions } from "${raw}/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type { PrometheusDataQuery } from "${QUERY}";`;
}

function declarations({ panels, ...frame }, number) {
  const typed = panels.map((panel) =>
    `export const panel${number}_${panel.id}: ${TYPES[panel.type] ?? "never"} = ${JSON.stringify(panel)};`);
  return [`export const frame${number}: Frame = ${JSON.stringify(frame)};`, ...typed];
}
