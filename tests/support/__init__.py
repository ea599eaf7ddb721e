"""What tests of several rooms share: generated events, a plain model, parts that run, looks into stores."""
