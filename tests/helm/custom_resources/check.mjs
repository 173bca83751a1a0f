// Reads custom resources as JSON from stdin, and prints what is wrong with them, a line each.
// Values and required fields are checked by the schemas, unknown fields by the types: the schemas let those pass.
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

const MODELS = {
  "keda.sh/v1alpha1/ScaledObject": "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject",
  "monitoring.coreos.com/v1/PodMonitor": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor",
  "monitoring.coreos.com/v1/PrometheusRule": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule",
  "gateway.networking.k8s.io/v1/GRPCRoute": "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/GRPCRoute",
};
const folder = import.meta.dirname;
const problems = [];
const lines = [];
for (const [index, resource] of JSON.parse(readFileSync(0, "utf8")).entries()) {
  const type = `${resource.apiVersion}/${resource.kind}`;
  if (!(type in MODELS)) {
    problems.push(`${type}: no schema is known`);
    continue;
  }
  const Model = (await import(MODELS[type]))[resource.kind];
  try {
    new Model(resource).validate();
  } catch (error) {
    problems.push(`${type} ${resource.metadata.name}: ${error.message}`);
  }
  lines.push(`import type { I${resource.kind} as T${index} } from "${MODELS[type]}";`);
  lines.push(`export const r${index}: T${index} = ${JSON.stringify(resource)};`);
}
const file = join(mkdtempSync(join(folder, "check-")), "resources.ts");
writeFileSync(file, lines.join("\n"));
const program = ts.createProgram([file], {
  strict: true, noEmit: true, skipLibCheck: true, types: [],
  module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext,
});
for (const found of ts.getPreEmitDiagnostics(program)) {
  problems.push(ts.flattenDiagnosticMessageText(found.messageText, "\n").replaceAll("\n", " "));
}
console.log(problems.join("\n"));
