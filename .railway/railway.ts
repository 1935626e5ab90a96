// Where the Railway CLI looks; the description itself is in infra/railway.
export { default } from "../infra/railway/railway";
