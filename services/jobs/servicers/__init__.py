"""What Jobs answers: job, datum and log methods of pps_v2.API, datamill.work.v1, OTLP traces."""
